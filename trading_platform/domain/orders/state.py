"""The life of an order in the ledger: which status may follow which.

::

    created ──> approved ──> submitting ──> submitted ──> partially_filled ──> filled
       │           │             │              │                │
    rejected   rejected,     any answer     cancelled, expired, broker_rejected
               cancelled,    or unknown     or unknown
               expired

Staying in a status is not a transition: the broker repeats itself, and callers drop repetitions with
``from_ == to`` before they ask here.

Late fills. ``cancelled`` and ``expired`` have one way out each: to ``filled`` and to ``partially_filled``
(and from there on). An exchange can execute an order while its cancel is on the way, and the execution report
can reach us after the cancellation; there are also *phantom cancels*: the client library marks a
live order ``Cancelled`` on an unlisted error code, so that an order believed dead goes on trading. Refusing
the transition would make the ledger deny a position that exists. The way leads only to the two statuses
that an execution proves, never back to ``submitted``: being open again is no evidence, an execution is.
``broker_rejected`` is left on an execution for the same reason: error 201 arrives on modify refusals of
live orders too. Our own ``rejected`` never reached the broker and ``filled`` has nothing left to fill, so
both are final.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from trading_platform.domain.orders.model import OrderStatus

_BROKER_ANSWERS = frozenset(
    {
        OrderStatus.SUBMITTED,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
        OrderStatus.CANCELLED,
        OrderStatus.EXPIRED,
        OrderStatus.BROKER_REJECTED,
    }
)
_PROVED_BY_A_FILL = frozenset({OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED})

LEGAL_TRANSITIONS: Mapping[OrderStatus, frozenset[OrderStatus]] = MappingProxyType(
    {
        OrderStatus.CREATED: frozenset({OrderStatus.APPROVED, OrderStatus.REJECTED}),
        OrderStatus.APPROVED: frozenset(
            {OrderStatus.SUBMITTING, OrderStatus.REJECTED, OrderStatus.CANCELLED, OrderStatus.EXPIRED}
        ),
        OrderStatus.REJECTED: frozenset(),
        OrderStatus.SUBMITTING: _BROKER_ANSWERS | {OrderStatus.UNKNOWN},
        OrderStatus.SUBMITTED: (_BROKER_ANSWERS - {OrderStatus.SUBMITTED}) | {OrderStatus.UNKNOWN},
        OrderStatus.PARTIALLY_FILLED: frozenset(
            {OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.UNKNOWN}
        ),
        OrderStatus.FILLED: frozenset(),
        OrderStatus.CANCELLED: _PROVED_BY_A_FILL,
        OrderStatus.EXPIRED: _PROVED_BY_A_FILL,
        OrderStatus.BROKER_REJECTED: _PROVED_BY_A_FILL,
        OrderStatus.UNKNOWN: _BROKER_ANSWERS,
    }
)
"""Status → the statuses that may follow it. Every status is a key."""


class IllegalTransitionError(Exception):
    """An order was about to move between two statuses that can't follow each other."""

    def __init__(self, from_: OrderStatus, to: OrderStatus) -> None:
        legal = ", ".join(sorted(status.value for status in LEGAL_TRANSITIONS[from_])) or "nothing"
        super().__init__(
            f"an order that is {from_.value} can't become {to.value}; it can become {legal}. "
            "Compare the ledger's order events with the broker's before you change either"
        )
        self.from_ = from_
        self.to = to


def is_legal_transition(from_: OrderStatus, to: OrderStatus) -> bool:
    """Whether ``to`` may follow ``from_``. Staying where one is, is not a transition."""
    return to in LEGAL_TRANSITIONS[from_]


def ensure_transition(from_: OrderStatus, to: OrderStatus) -> None:
    """Let a legal transition pass.

    Raises:
        IllegalTransitionError: ``to`` may not follow ``from_``.
    """
    if not is_legal_transition(from_, to):
        raise IllegalTransitionError(from_, to)
