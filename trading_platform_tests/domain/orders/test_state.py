from __future__ import annotations

import pytest

from trading_platform.domain.orders.model import OrderStatus
from trading_platform.domain.orders.state import (
    LEGAL_TRANSITIONS,
    IllegalTransitionError,
    ensure_transition,
    is_legal_transition,
)

S = OrderStatus
PAIRS = [(from_, to) for from_ in S for to in S]


def test_every_status_has_its_place() -> None:
    assert set(LEGAL_TRANSITIONS) == set(S)


@pytest.mark.parametrize(("from_", "to"), PAIRS)
def test_every_pair_is_either_legal_or_refused(from_: OrderStatus, to: OrderStatus) -> None:
    if is_legal_transition(from_, to):
        ensure_transition(from_, to)
    else:
        with pytest.raises(IllegalTransitionError, match=f"{from_.value} can't become {to.value}"):
            ensure_transition(from_, to)


def test_nothing_is_submitted_that_risk_has_not_approved() -> None:
    assert [from_ for from_ in S if is_legal_transition(from_, S.SUBMITTING)] == [S.APPROVED]
    assert [from_ for from_ in S if is_legal_transition(from_, S.APPROVED)] == [S.CREATED]


def test_an_ambiguous_order_never_goes_back_to_be_sent_again() -> None:
    assert not LEGAL_TRANSITIONS[S.UNKNOWN] & {S.CREATED, S.APPROVED, S.SUBMITTING, S.REJECTED}


def test_what_never_left_the_house_and_what_is_complete_are_final() -> None:
    assert not LEGAL_TRANSITIONS[S.REJECTED]
    assert not LEGAL_TRANSITIONS[S.FILLED]


@pytest.mark.parametrize("status", [S.CANCELLED, S.EXPIRED, S.BROKER_REJECTED])
def test_a_dead_order_comes_alive_only_through_a_late_fill(status: OrderStatus) -> None:
    assert LEGAL_TRANSITIONS[status] == {S.PARTIALLY_FILLED, S.FILLED}


def test_the_terminal_statuses_are_those_nothing_more_is_expected_of() -> None:
    expected_on = {to for from_ in S if not from_.is_terminal for to in LEGAL_TRANSITIONS[from_]}
    assert {status for status in S if status.is_terminal} <= expected_on
    assert all(LEGAL_TRANSITIONS[status] <= {S.PARTIALLY_FILLED, S.FILLED} for status in S if status.is_terminal)


def test_repeating_a_status_is_not_a_transition() -> None:
    assert not any(is_legal_transition(status, status) for status in S)
