"""The proof that one code decides everywhere: a replay (real ledger, client and gateway) and a backtest agree.

Same ticks, the same signals to the last bit, the same intents under the same names with the same verdicts and numbers
of every control, the same fills and the same equity at every reading.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from trading_platform_tests.replay.kit import assert_same, backtested, rejections, replayed, shipped
from trading_platform_tests.shared_data import shared_data

pytestmark = pytest.mark.slow


def test_250_sessions_of_real_daily_bars_are_decided_alike(ledger_url: str) -> None:
    specs, first, last = shipped("momentum"), date(2012, 1, 3), date(2012, 12, 31)
    record = replayed(specs, first, last, ledger_url)
    assert len({tick.decision.session for tick in record.ticks}) >= 250
    assert len(record.fills) > 300
    assert_same(record, backtested(specs, first, last, record.account))


def test_the_gateways_own_minutes_are_decided_alike_on_two_calendars(ledger_url: str) -> None:
    specs, first, last = shipped("iwm", "btc"), date(2013, 2, 27), date(2013, 2, 28)
    record = replayed(specs, first, last, ledger_url)
    assert len({tick.decision.session for tick in record.ticks if tick.strategy == "iwm"}) == 2
    assert {order.intent.request.order_type for order in record.orders} == {"MKT", "LMT"}
    assert_same(record, backtested(specs, first, last, record.account))


@pytest.mark.real_data
def test_5_sessions_of_real_minute_bars_are_decided_alike(ledger_url: str, tmp_path: Path) -> None:
    bars = pd.read_parquet(shared_data("minute_us_equities/alphavantage_1min_2019.parquet"))
    bars["ts"] -= timedelta(minutes=1)  # stamped with their end
    symbols = ("AAPL", "JPM", "TSLA")
    bars[bars["symbol"].isin(symbols)].to_parquet(tmp_path / "minutes.parquet")
    tsla = shipped("tsla")[0].model_copy(update={"universe": symbols, "cadence_minutes": 30})
    first, last = date(2019, 2, 11), date(2019, 2, 15)
    record = replayed([tsla], first, last, ledger_url, tmp_path)
    assert len({tick.decision.session for tick in record.ticks}) == 5
    assert len(record.fills) > 10
    assert_same(record, backtested([tsla], first, last, record.account, tmp_path))


def test_what_risk_refuses_is_refused_alike(ledger_url: str) -> None:
    """Orders that are too large, and a limit on the orders of a day."""
    momentum = shipped("momentum")[0]
    tight = momentum.model_copy(
        update={
            "limits": momentum.limits.model_copy(update={"max_orders_per_day": 1}),
            "sizing": momentum.sizing.model_copy(update={"equity_fraction": Decimal("0.35")}),
        }
    )
    first, last = date(2012, 10, 1), date(2012, 10, 17)
    record = replayed([tight], first, last, ledger_url)
    assert rejections(record) > 0
    assert_same(record, backtested([tight], first, last, record.account))
