"""What a submission did, order by order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from trading_platform.domain.orders.model import OrderStatus

Outcome = Literal["placed", "already_placed", "refused", "rejected", "unknown", "not_sent"]
"""``placed``: sent by this call and acknowledged. ``already_placed``: an earlier run had sent it. ``refused``: risk,
a halt or a newer tick forbade it. ``rejected``: the broker said no. ``unknown``: it was sent and its fate is not
known; reconciliation decides. ``not_sent``: nothing was sent, and a later run of the same tick may try again."""


@dataclass(frozen=True)
class OrderOutcome:
    """What happened to one order of the tick. ``reasons`` is empty for ``placed``."""

    client_order_id: str
    symbol: str
    outcome: Outcome
    status: OrderStatus
    perm_id: int | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class SubmissionReport:
    """The outcomes of one tick's orders, by client order id. ``fencing_token`` is None if nothing had to be sent.

    ``called_off`` are working orders that were cancelled without another in their place, and ``not_called_off`` says
    of which that could not be confirmed.
    """

    account: str
    strategy: str
    tick_utc: datetime
    fencing_token: int | None
    outcomes: tuple[OrderOutcome, ...]
    called_off: tuple[str, ...] = ()
    not_called_off: tuple[str, ...] = ()

    @property
    def new_orders(self) -> int:
        """How many orders this call placed."""
        return len(self.of("placed"))

    @property
    def client_order_ids(self) -> tuple[str, ...]:
        """Orders that are or may be at the broker."""
        return tuple(o.client_order_id for o in self.of("placed", "already_placed", "unknown"))

    def of(self, *outcomes: Outcome) -> Sequence[OrderOutcome]:
        """The orders with one of these outcomes."""
        return [outcome for outcome in self.outcomes if outcome.outcome in outcomes]
