"""Faults on demand: each is a small value; :class:`Faults` holds those that are active.

Tests and the crash proof of the platform switch them from any thread. A fault that is an event (a dropped
connection *now*, a notice to everybody) happens when it is added; the others stay active until they are
used up, removed or cleared.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class DropConnection:
    """Cut the connection of one client, or of all: now, or around the ``nth`` message of a type.

    Without ``message_id`` it happens now. With it, the ``nth`` such message that the gateway sends
    (``direction`` "out") or receives ("in") cuts the connection ``before`` or ``after`` it had its effect. The
    answers to a received message are lost with the connection either way.
    """

    client_id: int | None = None
    message_id: int | None = None
    direction: Literal["in", "out"] = "out"
    when: Literal["before", "after"] = "before"
    nth: int = 1


@dataclass(frozen=True)
class HalfClose:
    """The gateway ends its half of the connection now, and goes on reading the client's half."""

    client_id: int | None = None


@dataclass(frozen=True)
class Broadcast:
    """Every client is told this code now, e.g. 1100 (connectivity lost), 1101 and 1102 (restored)."""

    code: int
    text: str = ""


@dataclass(frozen=True)
class Mute:
    """Messages of this type are not sent to the client (or to any); ``count`` None means until removed."""

    message_id: int
    client_id: int | None = None
    count: int | None = None


@dataclass(frozen=True)
class Delay:
    """Messages of this type (of every type) are sent ``seconds`` later; others may overtake them."""

    seconds: float
    message_id: int | None = None
    client_id: int | None = None


@dataclass(frozen=True)
class RejectOrders:
    """The next ``count`` new orders (for ``symbol``, or any) are refused with this code and text."""

    code: int
    text: str
    symbol: str | None = None
    count: int = 1


@dataclass(frozen=True)
class SwallowAcknowledgement:
    """The next ``count`` new orders are accepted, and that connection never hears of them unless it asks."""

    symbol: str | None = None
    count: int = 1


@dataclass(frozen=True)
class DuplicateStatus:
    """Every order status is sent twice, as TWS does now and then."""

    client_id: int | None = None


@dataclass(frozen=True)
class StatusBeforeExecution:
    """The status of a fill is sent before its execution and commission report."""


@dataclass(frozen=True)
class RollBackOrderIds:
    """Clients are told ``order_id`` as their next valid id, as after a restart of the real gateway."""

    order_id: int = 1


@dataclass(frozen=True)
class RewriteHistory:
    """Historical bars of ``symbol`` that start in [``start``, ``end``) come with other values, as after a correction
    or once a vendor has adjusted its history for a split. Times are tz-aware; ``None``: without bound.

    ADJUSTED_LAST is left alone: it is adjusted as it is. Nor are quotes and matching concerned. ``is_removed``
    leaves the bars out.
    """

    symbol: str
    price_factor: float = 1.0
    volume_factor: float = 1.0
    start: datetime | None = None
    end: datetime | None = None
    is_removed: bool = False

    def holds_for(self, moment: datetime) -> bool:
        """Whether the bar that starts at ``moment`` is rewritten."""
        return (self.start is None or self.start <= moment) and (self.end is None or moment < self.end)


@dataclass(frozen=True)
class RefuseHistory:
    """Requests for historical bars of ``symbol`` are refused (code 162), the next ``count`` or until removed."""

    symbol: str
    text: str = "query was cancelled"
    count: int | None = None


Fault = (
    DropConnection
    | HalfClose
    | Broadcast
    | Mute
    | Delay
    | RejectOrders
    | SwallowAcknowledgement
    | DuplicateStatus
    | StatusBeforeExecution
    | RollBackOrderIds
    | RewriteHistory
    | RefuseHistory
)

NOTICES = {
    1100: "Connectivity between IB and Trader Workstation has been lost.",
    1101: "Connectivity between IB and Trader Workstation has been restored - data lost.",
    1102: "Connectivity between IB and Trader Workstation has been restored - data maintained.",
}


@dataclass(frozen=True)
class Delivery:
    """What is to happen to one outgoing message."""

    is_muted: bool = False
    delay_seconds: float = 0.0
    copies: int = 1
    cut: Literal["before", "after"] | None = None


class Faults:
    """The active faults of one gateway. Thread-safe; without any fault everything is delivered as usual."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[Fault] = []
        self._uses: list[int] = []
        self._on_event: Callable[[DropConnection | HalfClose | Broadcast], None] | None = None

    def add(self, *faults: Fault) -> None:
        """Switch faults on. Events happen at once, and need a started gateway.

        Raises:
            RuntimeError: an event was added and no gateway is running.
        """
        for fault in faults:
            is_event = isinstance(fault, HalfClose | Broadcast) or (
                isinstance(fault, DropConnection) and fault.message_id is None
            )
            if is_event:
                self._happen(fault)
                continue
            with self._lock:
                self._active.append(fault)
                self._uses.append(0)

    def remove(self, fault: Fault) -> None:
        """Switch one fault off; nothing happens if it is not active."""
        with self._lock:
            if fault in self._active:
                self._forget(self._active.index(fault))

    def clear(self) -> None:
        """Switch every fault off."""
        with self._lock:
            self._active.clear()
            self._uses.clear()

    @property
    def active(self) -> tuple[Fault, ...]:
        """The faults that are on."""
        with self._lock:
            return tuple(self._active)

    def bind(self, on_event: Callable[[DropConnection | HalfClose | Broadcast], None] | None) -> None:
        """Name who lets events happen (the running gateway), or nobody."""
        self._on_event = on_event

    def outgoing(self, client_id: int | None, message_id: int, status_id: int) -> Delivery:
        """Decide on one message to a client, using up what is counted. ``status_id`` is orderStatus's number."""
        if not self._active:
            return Delivery()
        muted, delay, copies = False, 0.0, 1
        with self._lock:
            for fault in list(self._active):
                if isinstance(fault, Mute) and fault.message_id == message_id and _is_for(fault, client_id):
                    muted = True
                    self._use(fault, fault.count)
                elif isinstance(fault, Delay) and fault.message_id in (None, message_id) and _is_for(fault, client_id):
                    delay = max(delay, fault.seconds)
                elif isinstance(fault, DuplicateStatus) and message_id == status_id and _is_for(fault, client_id):
                    copies = 2
            cut = self._cut(client_id, message_id, "out")
        return Delivery(muted, delay, copies, cut)

    def incoming(self, client_id: int | None, message_id: int) -> Literal["before", "after"] | None:
        """Whether a message from a client cuts its connection, before or after it takes effect."""
        if not self._active:
            return None
        with self._lock:
            return self._cut(client_id, message_id, "in")

    def rejection(self, symbol: str) -> RejectOrders | None:
        """The fault that refuses a new order for ``symbol``, used up by one."""
        with self._lock:
            for fault in self._active:
                if isinstance(fault, RejectOrders) and fault.symbol in (None, symbol):
                    self._use(fault, fault.count)
                    return fault
        return None

    def swallows(self, symbol: str) -> bool:
        """Whether the acknowledgement of a new order for ``symbol`` is swallowed, using the fault up by one."""
        with self._lock:
            for fault in self._active:
                if isinstance(fault, SwallowAcknowledgement) and fault.symbol in (None, symbol):
                    self._use(fault, fault.count)
                    return True
        return False

    def rewrites(self, symbol: str) -> tuple[RewriteHistory, ...]:
        """The faults that change historical bars of ``symbol``."""
        return tuple(fault for fault in self.active if isinstance(fault, RewriteHistory) and fault.symbol == symbol)

    def history_refusal(self, symbol: str) -> RefuseHistory | None:
        """The fault that refuses a request for historical bars of ``symbol``, used up by one."""
        with self._lock:
            for fault in self._active:
                if isinstance(fault, RefuseHistory) and fault.symbol == symbol:
                    self._use(fault, fault.count)
                    return fault
        return None

    @property
    def is_status_first(self) -> bool:
        """Whether the status of a fill goes before its execution."""
        return any(isinstance(fault, StatusBeforeExecution) for fault in self.active)

    @property
    def rolled_back_order_id(self) -> int | None:
        """The next valid id to tell in place of the true one."""
        return next((fault.order_id for fault in self.active if isinstance(fault, RollBackOrderIds)), None)

    def _happen(self, fault: Fault) -> None:
        if self._on_event is None or not isinstance(fault, DropConnection | HalfClose | Broadcast):
            msg = f"{fault} happens at once, but no gateway is running: start it first"
            raise RuntimeError(msg)
        self._on_event(fault)

    def _cut(self, client_id: int | None, message_id: int, direction: str) -> Literal["before", "after"] | None:
        for fault in list(self._active):
            if (
                isinstance(fault, DropConnection)
                and fault.message_id == message_id
                and fault.direction == direction
                and _is_for(fault, client_id)
                and self._use(fault, fault.nth)
            ):
                return fault.when
        return None

    def _use(self, fault: Fault, limit: int | None) -> bool:
        """Count one use; at the limit the fault is forgotten. Return whether this was the last use."""
        index = self._active.index(fault)
        self._uses[index] += 1
        if limit is None or self._uses[index] < limit:
            return False
        self._forget(index)
        return True

    def _forget(self, index: int) -> None:
        del self._active[index]
        del self._uses[index]


def _is_for(fault: DropConnection | Mute | Delay | DuplicateStatus, client_id: int | None) -> bool:
    return fault.client_id is None or fault.client_id == client_id
