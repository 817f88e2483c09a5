"""What clients ask about orders: placeOrder and its 90-odd fields, cancels, the filter of executions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.errors import refuse_invalid
from trading_platform.paper_gateway.messages.contracts import ContractQuery
from trading_platform.paper_gateway.messages.times import parse_instant
from trading_platform.paper_gateway.model import Action, OrderTicket, PaperExecution

if TYPE_CHECKING:
    from trading_platform.paper_gateway.wire import FieldReader

_ACTIONS: dict[str, Action] = {"BUY": "BUY", "SELL": "SELL"}


@dataclass(frozen=True)
class PlaceOrder:
    """A request to place or to modify an order (same ``order_id``), or to tell what it would do (what-if)."""

    order_id: int
    query: ContractQuery
    ticket: OrderTicket

    @classmethod
    def read(cls, reader: FieldReader) -> PlaceOrder:
        """Read placeOrder.

        Raises:
            RequestError: 321, an action, quantity or date that can't be.
        """
        order_id = reader.request_id()
        query = ContractQuery.read(reader)
        if query.security_type == "BAG":
            refuse_invalid("Combination orders are not served by the paper gateway")
        reader.skip(2)  # security id and its type
        action = _action(reader.text())
        quantity = reader.decimal() or Decimal(0)
        order_type = reader.text().upper()
        limit_price, aux_price = reader.decimal(), reader.decimal()
        time_in_force, oca_group, account = reader.text(), reader.text(), reader.text()
        reader.skip(2)  # open/close, origin
        order_ref, transmit, parent_id = reader.text(), reader.boolean(), reader.integer()
        reader.skip(4)  # block order, sweep to fill, display size, trigger method
        outside_rth = reader.boolean()
        reader.skip(4)  # hidden, (a dead field), discretionary amount, good after time
        good_till = reader.text()
        reader.skip(8)  # four of financial advisors, model, three of short sales
        oca_type = reader.integer()
        reader.skip(17)  # rule 80A … volatility type
        trail_stop_price, trailing_percent = _read_trailing(reader)
        what_if = _read_what_if(reader)
        is_trailing = order_type == "TRAIL"
        return cls(
            order_id,
            query,
            OrderTicket(
                action=action,
                quantity=quantity,
                order_type=order_type,
                limit_price=limit_price if "LMT" in order_type or order_type == "LOC" else None,
                aux_price=aux_price if "STP" in order_type or is_trailing else None,
                time_in_force=time_in_force or "DAY",
                oca_group=oca_group,
                oca_type=oca_type or 3,
                account=account,
                order_ref=order_ref,
                transmit=transmit,
                parent_id=parent_id,
                outside_rth=outside_rth,
                what_if=what_if,
                good_till=parse_instant(good_till) if good_till and time_in_force == "GTD" else None,
                trailing_percent=trailing_percent if is_trailing else None,
                trail_stop_price=trail_stop_price if is_trailing else None,
            ),
        )


def _read_trailing(reader: FieldReader) -> tuple[Decimal | None, Decimal | None]:
    """Walk from after the volatility type to a trailing stop's first stop price and its percentage."""
    delta_neutral_order_type = reader.text()
    reader.skip()  # its price
    if delta_neutral_order_type:
        reader.skip(8)
    reader.skip(2)  # continuous update, reference price type
    return reader.decimal(), reader.decimal()


def _read_what_if(reader: FieldReader) -> bool:
    """Walk from the scale sizes to the what-if flag: optional groups are announced by the field before."""
    reader.skip(2)  # scale sizes
    scale_increment = reader.decimal()
    if scale_increment is not None and scale_increment > 0:
        reader.skip(7)
    reader.skip(3)  # scale table and its times
    if reader.text():  # hedge type
        reader.skip()
    reader.skip(4)  # smart-routing opt-out, clearing account and intent, not held
    if reader.boolean():  # delta-neutral contract
        reader.skip(3)
    if reader.text():  # algorithm
        reader.skip(2 * reader.integer())
    reader.skip()  # algorithm id
    return reader.boolean()


def _action(text: str) -> Action:
    action = _ACTIONS.get(text.upper())
    if action is None:
        refuse_invalid(f"Invalid action '{text}': BUY or SELL")
    return action


@dataclass(frozen=True)
class ExecutionFilter:
    """Which executions a client wants; empty text, 0 and None mean "any"."""

    request_id: int
    client_id: int
    account: str
    since: datetime | None
    symbol: str
    security_type: str
    exchange: str
    side: str

    @classmethod
    def read(cls, reader: FieldReader) -> ExecutionFilter:
        """Read reqExecutions."""
        reader.skip()  # version
        request_id, client_id, account, since = reader.request_id(), reader.integer(), reader.text(), reader.text()
        symbol, security_type, exchange, side = reader.text(), reader.text(), reader.text(), reader.text()
        return cls(
            request_id,
            client_id,
            account,
            parse_instant(since) if since else None,
            symbol,
            security_type,
            exchange,
            {"BOT": "BUY", "SLD": "SELL"}.get(side.upper(), side.upper()),
        )

    def admits(self, execution: PaperExecution, account: str) -> bool:
        """Whether the execution on ``account`` is wanted."""
        contract = execution.contract
        exchanges = ("", "SMART", execution.exchange, contract.exchange, contract.primary_exchange)
        return (
            self.client_id in (0, execution.client_id)
            and self.account in ("", account)
            and (self.since is None or execution.ts_utc >= self.since)
            and self.symbol in ("", contract.symbol)
            and self.security_type in ("", contract.security_type)
            and self.exchange in exchanges
            and self.side in ("", execution.action)
        )
