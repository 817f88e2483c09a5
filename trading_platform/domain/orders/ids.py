"""The name of an order: a pure function of strategy, symbol, tick and revision.

The name travels to the broker as ``orderRef`` and is how an order is found again after a crash, so two
different decisions never share one and the same decision always gets the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal, cast

MAX_LENGTH = 40
"""Longest name, in characters, that we trust every hop to the broker and back to keep whole."""

Leg = Literal["", "t", "s"]
"""Which order of a bracket: the entry (or the only order), the target, the stop."""

_STRATEGY = re.compile(r"[a-z][a-z0-9_]*")
_SYMBOL = re.compile(r"[A-Z0-9](?:[A-Z0-9 ./-]*[A-Z0-9])?")
_ID = re.compile(
    rf"(?P<strategy>{_STRATEGY.pattern})\.(?P<symbol>{_SYMBOL.pattern})"
    r"\.(?P<tick>[0-9]{8}T[0-9]{4})Z\.r(?P<revision>0|[1-9][0-9]*)(?P<leg>[ts]?)"
)


class InvalidOrderIdError(ValueError):
    """A client order id can't be made of these parts, or a text is not one of ours."""


@dataclass(frozen=True)
class OrderIdParts:
    """What a client order id is made of. ``tick_utc`` is tz-aware UTC, on a whole minute."""

    strategy: str
    symbol: str
    tick_utc: datetime
    revision: int
    leg: Leg = ""


def client_order_id(strategy: str, symbol: str, tick_utc: datetime, revision: int = 0, leg: Leg = "") -> str:
    """Name the order of ``strategy`` in ``symbol`` at the tick, e.g. ``tsla.TSLA.20130228T2045Z.r0``.

    Args:
        strategy: lower case, digits and underscores.
        symbol: upper case and digits; inside it also space, dot, slash and hyphen ("BRK B", "EUR.USD").
        tick_utc: the tick, tz-aware (any zone), on a whole minute: seconds would be lost in the name.
        revision: 0 for the first order of the tick; a deliberate second one counts up.
        leg: empty for an order by itself and for a bracket's entry; the target's name ends with ``t``, the stop's with
            ``s``.

    Raises:
        InvalidOrderIdError: a part is malformed or the name would be longer than 40 characters.
    """
    if not _STRATEGY.fullmatch(strategy):
        msg = f"strategy {strategy!r} can't be part of an order id: use lower case, digits and underscores"
        raise InvalidOrderIdError(msg)
    if not _SYMBOL.fullmatch(symbol):
        msg = f"symbol {symbol!r} can't be part of an order id: use upper case and digits, e.g. TSLA or BRK B"
        raise InvalidOrderIdError(msg)
    if tick_utc.tzinfo is None:
        msg = f"tick {tick_utc!r} has no time zone"
        raise InvalidOrderIdError(msg)
    tick = tick_utc.astimezone(timezone.utc)
    if tick.second or tick.microsecond:
        msg = f"tick {tick.isoformat()} is not on a whole minute: two ticks could share one order id"
        raise InvalidOrderIdError(msg)
    if revision < 0:
        msg = f"revision {revision} is negative: revisions count up from 0"
        raise InvalidOrderIdError(msg)
    # Not strftime("%Y"): glibc writes years before 1000 without leading zeros.
    stamp = f"{tick.year:04d}{tick:%m%dT%H%M}"
    name = f"{strategy}.{symbol}.{stamp}Z.r{revision}{leg}"
    if len(name) > MAX_LENGTH:
        msg = (
            f"order id {name!r} has {len(name)} characters, {MAX_LENGTH} is the most: "
            f"shorten the name of strategy {strategy!r}"
        )
        raise InvalidOrderIdError(msg)
    return name


def parse_client_order_id(text: str) -> OrderIdParts:
    """Take a client order id apart again; the inverse of :func:`client_order_id`.

    Raises:
        InvalidOrderIdError: ``text`` is not a name this platform gives, e.g. of an order placed by hand.
    """
    match = _ID.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        msg = f"{text!r} is not an order id of this platform (strategy.SYMBOL.yyyymmddThhmmZ.rN, with t or s for exits)"
        raise InvalidOrderIdError(msg)
    try:
        tick = datetime.strptime(match["tick"] + "+0000", "%Y%m%dT%H%M%z")
    except ValueError as error:
        msg = f"{text!r} is not an order id of this platform: {match['tick']} is not a moment"
        raise InvalidOrderIdError(msg) from error
    leg = cast(Leg, match["leg"])
    return OrderIdParts(match["strategy"], match["symbol"], tick.astimezone(timezone.utc), int(match["revision"]), leg)


def group_of(client_order_id: str) -> str:
    """The name of the bracket's entry for one of its exits; any other name as it is, also of foreign orders."""
    try:
        leg = parse_client_order_id(client_order_id).leg
    except InvalidOrderIdError:
        return client_order_id
    return client_order_id.removesuffix(leg)


def ensure_orders_can_be_named(strategy: str, universe: Iterable[str], leg: Leg = "") -> None:
    """Check, when a strategy is loaded, that every symbol leaves room for revisions 0 to 9, and for exits.

    Raises:
        InvalidOrderIdError: names the first symbol whose orders could not be named.
    """
    noon = datetime(2000, 1, 1, 12, tzinfo=timezone.utc)
    for symbol in universe:
        client_order_id(strategy, symbol, noon, leg=leg)
