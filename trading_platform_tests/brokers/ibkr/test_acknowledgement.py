"""What may be concluded from the broker's messages about an order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trading_platform.brokers.ibkr.acknowledgement import Acknowledgement, Verdict

_messages = st.lists(
    st.one_of(
        st.tuples(
            st.just("status"),
            st.sampled_from(["PendingSubmit", "PreSubmitted", "Submitted", "Inactive", "Cancelled"]),
            st.sampled_from([0, 7]),
        ),
        st.tuples(st.just("error"), st.sampled_from([399, 202, 105, 10148, 2109]), st.just(0)),
    ),
    max_size=6,
)


def _after(messages: list[tuple[str, Any, int]]) -> Acknowledgement:
    said = Acknowledgement()
    for kind, value, perm_id in messages:
        if kind == "status":
            said.note_status(value, perm_id, 0.0, 0.0)
        else:
            said.note_error(value, "text")
    return said


@given(_messages)
def test_without_a_rejection_code_nothing_is_ever_a_rejection(messages: list[tuple[str, Any, int]]) -> None:
    assert _after(messages).verdict is not Verdict.REJECTED


@given(_messages, st.sampled_from([201, 203, 110]), st.booleans())
def test_an_order_with_a_fill_is_acknowledged_whatever_else_is_said(
    messages: list[tuple[str, Any, int]], code: int, is_lost: bool
) -> None:
    said = _after(messages)
    said.note_error(code, "rejected")
    said.is_lost = is_lost
    said.note_status("Cancelled", 7, 3.0, 1.0)
    assert said.verdict is Verdict.ACKNOWLEDGED


def test_a_live_status_without_a_perm_id_is_not_an_acknowledgement_yet() -> None:
    said = Acknowledgement()
    said.note_status("Submitted", 0, 0.0, 0.0)
    assert said.verdict is Verdict.PENDING
    said.note_open("Submitted", 7)
    assert said.verdict is Verdict.ACKNOWLEDGED


def test_a_lost_connection_leaves_an_unacknowledged_order_lost() -> None:
    said = _after([("status", "PendingSubmit", 7)])
    said.is_lost = True
    assert said.verdict is Verdict.LOST
