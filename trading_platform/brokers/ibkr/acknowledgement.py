"""What the broker has said about one order since it was sent, and what follows from it. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from trading_platform.brokers.ibkr import errors

_LIVE = frozenset({"PreSubmitted", "Submitted", "PendingCancel", "Filled"})
_ENDED = frozenset({"Cancelled", "ApiCancelled"})


class Verdict(Enum):
    """What is known. ``SETTLING`` and ``DOUBTFUL`` give the broker a moment to say more."""

    PENDING = "nothing conclusive was said"
    ACKNOWLEDGED = "the broker has it"
    REJECTED = "the broker refused it"
    SETTLING = "it ended; a reason may follow"
    DOUBTFUL = "an error was reported that does not say whether the order lives"
    LOST = "the connection was lost"


@dataclass
class Acknowledgement:
    """Collects messages about one order. Only the server's own words count, never a client-side inference."""

    perm_id: int = 0
    status: str = ""
    filled: float = 0.0
    average_price: float = 0.0
    rejection: tuple[int, str] | None = None
    doubt: tuple[int, str] | None = None
    has_cancel_reason: bool = False
    notes: list[str] = field(default_factory=list)
    is_lost: bool = False

    def note_status(self, status: str, perm_id: int, filled: float, average_price: float) -> None:
        """Take in an ``orderStatus`` message."""
        self.note_open(status, perm_id)
        self.filled = max(self.filled, filled)
        if filled:
            self.average_price = average_price

    def note_open(self, status: str, perm_id: int) -> None:
        """Take in an ``openOrder`` message."""
        self.perm_id = perm_id or self.perm_id
        self.status = status or self.status

    def note_error(self, code: int, text: str) -> None:
        """Take in an ``error`` message that carries the order's id."""
        if errors.is_order_rejection(code):
            self.rejection = (code, text)
        elif code == errors.ORDER_CANCELLED:
            self.status = "Cancelled"
            self.has_cancel_reason = True
            self.notes.append(text)
        elif errors.is_warning(code):
            self.notes.append(f"{code}: {text}")
        else:
            self.doubt = (code, text)

    @property
    def verdict(self) -> Verdict:
        """What the messages so far amount to. A fill outweighs everything, a refusal outweighs a status."""
        is_live = self.status in _LIVE and self.perm_id != 0
        if self.rejection is not None and self.filled == 0:
            return Verdict.REJECTED
        if self.filled > 0 or is_live or self.has_cancel_reason:
            return Verdict.ACKNOWLEDGED
        if self.is_lost:
            return Verdict.LOST
        if self.status in _ENDED or self.status == "Inactive":
            return Verdict.SETTLING
        return Verdict.DOUBTFUL if self.doubt is not None else Verdict.PENDING

    @property
    def is_ended_by_broker(self) -> bool:
        """Whether the server itself said that the order is cancelled, e.g. an IOC order that found nothing."""
        return self.status in _ENDED
