"""Orders that the broker does not list: which of them are proved to be over, and may be closed as ``expired``.

Closing sends nothing and never leads to a second sending: an expired order can't become ``submitting`` again. Should
the proof be wrong after all, the broker's next list makes it a contradiction, which turns the kill switch on, and an
execution is still taken in. Without a proof the order stays as it is, counts as if it will fill, and a person decides.

What every proof takes:

1. **Two looks.** Open orders, completed orders and executions were obtained completely, twice, with at least
   ``settle_seconds`` of real time between, and the order was in none of the six. Before the second look the gateway
   answered another question, so it was alive and reading after the pause: what lay in its sockets has been read.
2. **Nobody can send it any more.** Its status says that it was sent (``submitted``, ``partially_filled``), or the
   process that was to send it is dead, or that process said that it did not. Dead means: proved on this very machine
   (``holder``). A dead process can leave bytes with its kernel, which TCP delivers late when packets get lost on
   the way: therefore ``in_flight_seconds`` must have passed since the order became ``submitting``. Linux gives up
   on an orphaned connection well within :data:`IN_FLIGHT_SECONDS`; over loopback nothing gets lost and 0 will do.
3. **Nothing of it was filled unseen.** The account's holding in its symbol is what the recorded fills sum up to.
4. **The row is untouched.** In the transaction that closes it, it is what it was when it was judged. A run that has
   taken the order over meanwhile wins.

And one of these:

* *Never arrived.* The order is in doubt, the broker never gave it a ``permId``, and it was to be sent within the
  broker's present day, to whose beginning completed orders and executions reach back. An order found
  ``submitting`` is closed only when its tick can't be submitted again: a newer one exists, or the session is over
  (its day, where the caller knows no calendar). A re-run of its tick may still send it, with the same proof; see
  ``submit``.
* *Its day is over.* The order was good for a session that has ended (DAY, IOC) or till a moment that has passed
  (GTD), and the broker's day with it. It is not open, so nothing more can be filled, and by point 3 nothing was
  filled that the ledger does not know. Whether it expired or never arrived makes no difference any more.

What remains for a person: orders of a process on another machine or in another container; GTC orders that vanished;
orders in a symbol whose holding the fills don't explain.

IBKR's lists begin at midnight of the gateway's own time zone, which is taken to be New York's. Were it another one, the
lists could reach back less far than is assumed here; point 3 is what still holds then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from ipaddress import ip_address
from zoneinfo import ZoneInfo

from trading_platform.domain.orders.model import OrderStatus
from trading_platform.execution.holder import is_proved_dead
from trading_platform.storage.ledger import Ledger, LedgerOrder
from trading_platform.storage.ledger.model import IN_DOUBT

IN_FLIGHT_SECONDS = 900.0
"""Longest time after which bytes of a dead process may still arrive at a gateway on another machine."""

_GATEWAY_ZONE = ZoneInfo("America/New_York")
_OF_ITS_SESSION = ("DAY", "IOC")


CloseOf = Callable[[str, str], datetime | None]
"""When the session (ISO date) of a strategy closes, tz-aware UTC; ``None`` where the strategy is not known."""


def unknown_close(_strategy: str, _session: str) -> datetime | None:
    """For callers that know no calendars: a session then counts as over with the broker's day."""
    return None


def in_flight_seconds(gateway_host: str) -> float:
    """How long bytes of a dead process may still be on their way to the gateway: over loopback nothing gets lost."""
    try:
        is_here = ip_address(gateway_host).is_loopback
    except ValueError:
        is_here = gateway_host == "localhost"
    return 0.0 if is_here else IN_FLIGHT_SECONDS


def closable(
    ledger: Ledger,
    orders: Iterable[LedgerOrder],
    *,
    now: datetime,
    in_flight_seconds: float,
    close_of: CloseOf = unknown_close,
) -> dict[str, tuple[LedgerOrder, str]]:
    """Of orders that the broker does not list, those for which points 2 and the day hold, with the reason in words.

    Points 1, 3 and 4 are the caller's.
    """
    found = {}
    for order in orders:
        if order.status in IN_DOUBT and not _can_not_be_sent(order, now, in_flight_seconds):
            continue
        reason = _reason(ledger, order, now, close_of)
        if reason is not None:
            found[order.client_order_id] = (order, reason)
    return found


def broker_day(moment: datetime) -> date:
    """The day whose completed orders and executions the broker lists at ``moment``."""
    return moment.astimezone(_GATEWAY_ZONE).date()


def _can_not_be_sent(order: LedgerOrder, now: datetime, in_flight_seconds: float) -> bool:
    if order.submission_holder is None:
        return order.submitting_at is not None  # its holder said that it did not send it
    began = order.submitting_at
    if began is None or now - began < timedelta(seconds=in_flight_seconds):
        return False
    return is_proved_dead(order.submission_holder)


def _last_day(order: LedgerOrder) -> date | None:
    """The last day on which the order can be filled; ``None`` for one that is good till cancelled."""
    request = order.intent.request
    if request.time_in_force == "GTD" and request.good_till_utc is not None:
        return broker_day(request.good_till_utc)
    return date.fromisoformat(order.intent.session) if request.time_in_force in _OF_ITS_SESSION else None


def _reason(ledger: Ledger, order: LedgerOrder, now: datetime, close_of: CloseOf) -> str | None:
    today = broker_day(now)
    intent = order.intent
    is_day_over = date.fromisoformat(intent.session) < today
    last_day = _last_day(order)
    if last_day is not None and last_day < today:
        return "its time is over, the broker does not list it, and the holdings show no fill that is not recorded"
    if order.status not in IN_DOUBT or order.perm_id is not None:
        return None
    if order.submitting_at is None or broker_day(order.submitting_at) != today:
        return None
    close = close_of(intent.strategy, intent.session)
    is_session_over = is_day_over or (close is not None and now >= close)
    if order.status is OrderStatus.SUBMITTING and not (
        is_session_over or ledger.has_newer_tick(intent.account, intent.strategy, intent.tick_utc)
    ):
        return None
    return "proved unsent: its sender is gone, and the broker listed it in none of two complete looks"
