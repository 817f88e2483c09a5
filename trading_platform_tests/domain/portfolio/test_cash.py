"""Cash follows from fills to the cent; what they do not explain is named, and nothing else is."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.orders.model import Execution, Side
from trading_platform.domain.portfolio.cash import CashReading, ExplainedReading, cash_flow_of, explain_cash
from trading_platform_tests.domain.orders.builders import ACCOUNT, NOW

START = Decimal(1_000_000)


def fill(number: int, seconds: float, side: Side = "BUY", quantity: str = "10", price: str = "100.25") -> Execution:
    return Execution(
        f"e{number:04d}",
        f"o{number}",
        number,
        ACCOUNT,
        "TSLA",
        side,
        Decimal(quantity),
        Decimal(price),
        Decimal("1.05"),
        None,
        NOW + timedelta(seconds=seconds),
    )


def reading(minutes: float, cash: Decimal | str | int) -> CashReading:
    return CashReading(NOW + timedelta(minutes=minutes), Decimal(cash))


def flows(found: list[ExplainedReading]) -> list[Decimal]:
    return [one.flow for one in found]


@pytest.mark.parametrize(("side", "cash"), [("BUY", "-1003.55"), ("SELL", "1001.45")])
def test_a_fill_moves_cash_by_its_notional_and_its_commission(side, cash):
    assert cash_flow_of(fill(1, 0, side)) == Decimal(cash)


def test_readings_that_fills_explain_have_no_flow():
    found = explain_cash([reading(0, START), reading(10, "998996.45"), reading(20, "999997.90")], [
        fill(1, 300),
        fill(2, 900, "SELL"),
    ])  # fmt: skip
    assert flows(found) == [0, 0, 0]
    assert [one.unexplained for one in found] == [0, 0, 0]


def test_fills_known_at_the_baseline_are_in_it_already():
    found = explain_cash([reading(10, "998996.45"), reading(20, "998996.45")], [fill(1, 0)])
    assert [one.from_fills for one in found] == [Decimal("998996.45")] * 2


def test_a_deposit_a_withdrawal_and_a_dividend_are_flows():
    cash = [START, START + 5000, START + 5000 - 1200, START + 5000 - 1200 + Decimal("13.37")]
    found = explain_cash([reading(10 * i, value) for i, value in enumerate(cash)], [])
    assert flows(found) == [0, 5000, -1200, Decimal("13.37")]
    assert found[-1].unexplained == Decimal("3813.37")


def test_cash_that_lags_behind_its_executions_is_no_flow():
    found = explain_cash(
        [reading(0, START), reading(10, START), reading(20, "998996.45")],
        [fill(1, 10 * 60 - 60)],  # a minute before the second reading, whose cash is older
    )
    assert flows(found) == [0, 0, 0]
    assert found[1].from_fills == START


def test_a_fill_of_the_readings_own_second_may_be_in_it():
    found = explain_cash([reading(0, START), reading(10, "998996.45")], [fill(1, 600.5)])
    assert flows(found) == [0, 0]


def test_a_fill_of_the_baselines_own_second_may_be_missing_from_it():
    """The first reading came before the fill that has its second: that shows at the second reading."""
    found = explain_cash([reading(0, START), reading(10, "998996.45")], [fill(1, 0)])
    assert flows(found) == [0, 0]
    assert [one.unexplained for one in found] == [0, 0]


def test_a_fill_that_the_cash_never_shows_is_a_flow_once_the_lag_is_over():
    found = explain_cash([reading(0, START), reading(4, START), reading(8, START)], [fill(1, 60)])
    assert flows(found)[1] + flows(found)[2] == Decimal("1003.55")


def test_cents_that_add_up_are_noticed():
    found = explain_cash([reading(10 * i, START + i * Decimal("0.01")) for i in range(4)], [])
    assert sum(flows(found)) >= Decimal("0.02")


def test_without_readings_there_is_nothing_to_explain():
    assert explain_cash([], [fill(1, 0)]) == []


trades = st.lists(
    st.tuples(
        st.integers(0, 10_000),
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 50),
        st.integers(100, 99_999).map(lambda cents: str(Decimal(cents) / 100)),
    ),
    max_size=12,
)


@given(trades, st.lists(st.integers(0, 10_000), min_size=1, max_size=8, unique=True))
def test_whatever_was_traded_an_account_without_transfers_has_no_flow(traded, moments):
    fills = [fill(i, seconds, side, str(q), price) for i, (seconds, side, q, price) in enumerate(traded)]
    readings = []
    for at in (NOW + timedelta(seconds=seconds) for seconds in sorted(moments)):
        moved = sum((cash_flow_of(fill) for fill in fills if fill.ts_utc <= at), START)
        readings.append(CashReading(at, round(moved, 2)))
    found = explain_cash(readings, fills)
    assert all(one.flow == 0 for one in found)
    assert all(abs(one.unexplained) <= Decimal("0.02") for one in found)
