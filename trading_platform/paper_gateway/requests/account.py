"""Requests about the account: positions, values, profit and loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.errors import refuse_invalid, refuse_processing
from trading_platform.paper_gateway.messages import account as messages
from trading_platform.paper_gateway.messages.ids import Incoming
from trading_platform.paper_gateway.messages.times import TWS_ZONE

if TYPE_CHECKING:
    from trading_platform.paper_gateway.sessions import Session
    from trading_platform.paper_gateway.wire import FieldReader, Fields

_MAX_SUMMARIES = 2
_ACCOUNT_SECONDS = 180.0
_PNL_SECONDS = 1.0
_ACCOUNT, _SUMMARY, _MULTI, _PNL, _PNL_SINGLE = "account", "summary", "account-multi", "pnl", "pnl-single"

Values = dict[str, tuple[str, str]]


@dataclass
class AccountStream:
    """Account values, sent when they change; as at IBKR every three minutes, and after every trade."""

    session: Session
    interval_seconds: float = _ACCOUNT_SECONDS
    _sent: Values = field(default_factory=dict)

    def refresh(self) -> None:
        """Send the values that changed, then the time."""
        hub, account = self.session.hub, self.session.hub.venue.account
        values = hub.venue.account_values()
        changed = {tag: value for tag, value in values.items() if self._sent.get(tag) != value}
        self._sent = values
        for tag, (value, currency) in changed.items():
            self.session.send(messages.account_value(tag, value, currency, account))
        if changed:
            self.session.send(messages.account_update_time(f"{hub.now().astimezone(TWS_ZONE):%H:%M}"))


@dataclass
class TaggedStream:
    """Account values under a request's id: the summary with its tags, or all of them by account and model."""

    session: Session
    request_id: int
    tags: frozenset[str] | None
    interval_seconds: float = _ACCOUNT_SECONDS
    _sent: Values = field(default_factory=dict)

    def refresh(self) -> None:
        """Send the values that changed."""
        account = self.session.hub.venue.account
        for tag, (value, currency) in self.session.hub.venue.account_values().items():
            if (self.tags is not None and tag not in self.tags) or self._sent.get(tag) == (value, currency):
                continue
            self._sent[tag] = (value, currency)
            encode = messages.account_update_multi if self.tags is None else messages.account_summary
            self.session.send(encode(self.request_id, account, tag, value, currency))


@dataclass
class PnlStream:
    """The account's profit and loss, or one position's; sent when it changes, at most once a second."""

    session: Session
    request_id: int
    con_id: int | None = None
    interval_seconds: float = _PNL_SECONDS
    _sent: Fields | None = None

    def refresh(self) -> None:
        """Send the figures if they changed."""
        fields = self._account() if self.con_id is None else self._single(self.con_id)
        if fields != self._sent:
            self._sent = fields
            self.session.send(fields)

    def _account(self) -> Fields:
        return messages.pnl(self.request_id, self.session.hub.venue.pnl())

    def _single(self, con_id: int) -> Fields:
        return messages.pnl_single(self.request_id, self.session.hub.venue.pnl_single(con_id))


def positions(session: Session, reader: FieldReader) -> None:
    """List positions, and send them again when they change."""
    del reader
    venue = session.hub.venue
    for holding in venue.holdings():
        session.send(messages.position(venue.account, holding))
    session.send(messages.position_end())
    session.has_positions = True


def cancel_positions(session: Session, reader: FieldReader) -> None:
    """Send no more positions."""
    del reader
    session.has_positions = False


def positions_multi(session: Session, reader: FieldReader) -> None:
    """List positions by account and model; there are no models here."""
    reader.skip()  # version
    request_id, account = reader.request_id(), reader.text()
    session.hub.check_account(account)
    venue = session.hub.venue
    for holding in venue.holdings():
        session.send(messages.position_multi(request_id, venue.account, holding))
    session.send(messages.position_multi_end(request_id))


def account_updates(session: Session, reader: FieldReader) -> None:
    """Send account values and the portfolio, now and when they change; or end that."""
    reader.skip()  # version
    is_wanted, account = reader.boolean(), reader.text()
    hub = session.hub
    hub.check_account(account)
    session.unsubscribe(_ACCOUNT, 0)
    session.has_account_updates = is_wanted
    if not is_wanted:
        return
    stream = AccountStream(session)
    for holding in hub.venue.holdings():
        price = hub.price_of(holding.contract)
        session.send(messages.portfolio_value(hub.venue.account, holding, price))
    stream.refresh()
    session.send(messages.account_download_end(hub.venue.account))
    session.subscribe(_ACCOUNT, 0, stream)


def account_updates_multi(session: Session, reader: FieldReader) -> None:
    """Send account values under the request's id, now and when they change."""
    reader.skip()  # version
    request_id, account = reader.request_id(), reader.text()
    session.hub.check_account(account)
    stream = TaggedStream(session, request_id, None)
    stream.refresh()
    session.send(messages.account_update_multi_end(request_id))
    session.subscribe(_MULTI, request_id, stream)


def account_summary(session: Session, reader: FieldReader) -> None:
    """Send the values of the tags asked for, now and when they change."""
    reader.skip()  # version
    request_id, group, tags = reader.request_id(), reader.text(), reader.text()
    if group != "All":
        refuse_invalid(f"Invalid group name '{group}': use All")
    if sum(kind == _SUMMARY for kind, _ in session.streams) >= _MAX_SUMMARIES:
        refuse_processing("Maximum number of account summary requests exceeded")
    stream = TaggedStream(session, request_id, frozenset(filter(None, tags.split(","))))
    stream.refresh()
    session.send(messages.account_summary_end(request_id))
    session.subscribe(_SUMMARY, request_id, stream)


def pnl(session: Session, reader: FieldReader) -> None:
    """Send the account's profit and loss, now and when it changes."""
    request_id, account = reader.request_id(), reader.text()
    _start_pnl(session, account, _PNL, PnlStream(session, request_id))


def pnl_single(session: Session, reader: FieldReader) -> None:
    """Send one position's profit and loss, now and when it changes."""
    request_id, account = reader.request_id(), reader.text()
    reader.skip()  # model
    _start_pnl(session, account, _PNL_SINGLE, PnlStream(session, request_id, reader.integer()))


def _start_pnl(session: Session, account: str, kind: str, stream: PnlStream) -> None:
    if not account:
        refuse_invalid("The account code is required for this operation.")
    session.hub.check_account(account)
    stream.refresh()
    session.subscribe(kind, stream.request_id, stream)


def _canceller(kind: str, *, has_version: bool) -> Callable[[Session, FieldReader], None]:
    def cancel(session: Session, reader: FieldReader) -> None:
        reader.skip(1 if has_version else 0)
        session.unsubscribe(kind, reader.request_id())

    return cancel


def nothing_to_cancel(session: Session, reader: FieldReader) -> None:
    """Positions by account and model are sent once."""
    del session, reader


HANDLERS = {
    Incoming.REQ_POSITIONS: positions,
    Incoming.CANCEL_POSITIONS: cancel_positions,
    Incoming.REQ_POSITIONS_MULTI: positions_multi,
    Incoming.CANCEL_POSITIONS_MULTI: nothing_to_cancel,
    Incoming.REQ_ACCOUNT_UPDATES: account_updates,
    Incoming.REQ_ACCOUNT_UPDATES_MULTI: account_updates_multi,
    Incoming.CANCEL_ACCOUNT_UPDATES_MULTI: _canceller(_MULTI, has_version=True),
    Incoming.REQ_ACCOUNT_SUMMARY: account_summary,
    Incoming.CANCEL_ACCOUNT_SUMMARY: _canceller(_SUMMARY, has_version=True),
    Incoming.REQ_PNL: pnl,
    Incoming.CANCEL_PNL: _canceller(_PNL, has_version=False),
    Incoming.REQ_PNL_SINGLE: pnl_single,
    Incoming.CANCEL_PNL_SINGLE: _canceller(_PNL_SINGLE, has_version=False),
}
