"""IBKR's limits, by table."""

from __future__ import annotations

import pytest

from trading_platform.paper_gateway.pacing import HistoryPacing, MessageRate

SMALL = 30
LARGE = 60


@pytest.mark.parametrize(
    ("times", "is_admitted"),
    [
        ([0.0] * 50, True),
        ([0.0] * 51, False),
        ([i / 50 for i in range(200)], True),
        ([0.0] * 50 + [1.0] * 50, True),
        ([0.0] * 45 + [1.0] * 45, True),
    ],
)
def test_fifty_messages_a_second_are_admitted(times: list[float], is_admitted: bool) -> None:
    rate = MessageRate()
    verdicts = [rate.admits(moment) for moment in times]
    assert all(verdicts) is is_admitted


def test_the_third_offence_exhausts_patience() -> None:
    rate = MessageRate()
    for offence in range(3):
        assert not rate.is_exhausted
        assert [rate.admits(float(offence)) for _ in range(51)].count(False) == 1
    assert rate.is_exhausted


def broken_rules(requests: list[tuple[float, str, str, int, int]]) -> list[str]:
    """First word of the broken rule ("" for none) of each (time, request, stream, bar seconds, weight)."""
    pacing = HistoryPacing()
    verdicts = [
        pacing.violation(request, stream, seconds, weight, moment)
        for moment, request, stream, seconds, weight in requests
    ]
    return [verdict.split()[0] if verdict else "" for verdict in verdicts]


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        pytest.param([(0, "a", "s", SMALL, 1), (14.9, "a", "s", SMALL, 1)], ["", "identical"], id="identical"),
        pytest.param([(0, "a", "s", SMALL, 1), (15.0, "a", "s", SMALL, 1)], ["", ""], id="identical later"),
        pytest.param([(0, "a", "s", LARGE, 1)] * 100, [""] * 100, id="larger bars are not limited"),
        pytest.param([(0, str(i), "s", SMALL, 1) for i in range(6)], [""] * 5 + ["6"], id="burst"),
        pytest.param([(0, str(i), str(i), SMALL, 1) for i in range(6)], [""] * 6, id="burst on many contracts"),
        pytest.param([(i * 0.5, str(i), "s", SMALL, 1) for i in range(12)], [""] * 12, id="no burst"),
        pytest.param([(0, str(i), "s", SMALL, 2) for i in range(3)], ["", "", "6"], id="BID_ASK counts twice"),
        pytest.param(
            [(i, str(i), str(i), SMALL, 1) for i in range(61)], [""] * 60 + ["more"], id="sixty in ten minutes"
        ),
        pytest.param([(i * 10.1, str(i), "s", SMALL, 1) for i in range(200)], [""] * 200, id="sixty again later"),
        pytest.param(
            [(i, str(i), str(i), SMALL, 2) for i in range(31)], [""] * 30 + ["more"], id="thirty BID_ASK in ten minutes"
        ),
    ],
)
def test_history_is_paced_as_documented(requests: list[tuple[float, str, str, int, int]], expected: list[str]) -> None:
    assert broken_rules(requests) == expected


def test_a_refused_request_does_not_count() -> None:
    pacing = HistoryPacing()
    assert pacing.violation("a", "s", SMALL, 1, 0.0) is None
    assert all(pacing.violation("a", "s", SMALL, 1, 0.1 * i) for i in range(1, 20))
    assert pacing.violation("b", "s", SMALL, 1, 1.0) is None
