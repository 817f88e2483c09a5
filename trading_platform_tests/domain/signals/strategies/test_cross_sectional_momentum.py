"""The strongest are held, the others not, and too young ones are left alone."""

from __future__ import annotations

from datetime import datetime, timezone

import pandas as pd
import pytest

from trading_platform.domain.features.compute import compute_features
from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.strategies.cross_sectional_momentum import CrossSectionalMomentum
from trading_platform_tests.domain.bars import real_daily_bars

DECISION = datetime(2013, 2, 28, 20, 45, tzinfo=timezone.utc)
UNIVERSE = ("AAPL", "FB", "GOOG", "IBM", "MSFT")


def decide(
    strategy: CrossSectionalMomentum, symbols: tuple[str, ...] = UNIVERSE, at: datetime = DECISION, history: int = 70
) -> dict[str, Signal]:
    """Signals on the real bars that are final at ``at``, with ``history`` sessions of each symbol."""
    bars = real_daily_bars()
    bars = bars[bars["symbol"].isin(symbols) & (bars["ts_utc"] < pd.Timestamp(at.date(), tz="UTC"))]
    features = compute_features(bars.groupby("symbol").tail(history), strategy.features)
    return {signal.symbol: signal for signal in strategy.signals(features, as_of=at)}


def test_the_two_strongest_of_the_real_universe_are_held_and_the_rest_is_flat() -> None:
    signals = decide(CrossSectionalMomentum())
    assert {symbol: signal.side for symbol, signal in signals.items()} == {
        "AAPL": "FLAT",
        "FB": "LONG",
        "GOOG": "LONG",
        "IBM": "FLAT",
        "MSFT": "FLAT",
    }
    assert [signals[symbol].target_weight for symbol in ("FB", "GOOG", "AAPL")] == [0.5, 0.5, 0.0]
    assert all(0 <= signal.confidence <= 1 for signal in signals.values())
    assert "rank 1 of 5" in signals["GOOG"].reason
    assert signals["GOOG"].confidence > signals["FB"].confidence > 0.5


def test_a_narrowed_universe_still_holds_what_rises_and_never_what_falls() -> None:
    signals = decide(CrossSectionalMomentum(), ("AAPL", "IBM"))
    assert signals["IBM"].side == "LONG"
    assert signals["IBM"].target_weight == 0.5
    assert signals["AAPL"].side == "FLAT"
    assert "too weak" in signals["AAPL"].reason


def test_a_young_symbol_gets_no_signal_until_it_has_the_history() -> None:
    listed = datetime(2012, 6, 29, 20, tzinfo=timezone.utc)
    assert set(decide(CrossSectionalMomentum(), at=listed)) == set(UNIVERSE) - {"FB"}


def test_a_symbol_whose_newest_bar_is_missing_gets_no_signal() -> None:
    strategy = CrossSectionalMomentum()
    bars = real_daily_bars()
    bars = bars[bars["ts_utc"] < pd.Timestamp(DECISION.date(), tz="UTC")].groupby("symbol").tail(70)
    stale = bars.drop(bars[bars["symbol"] == "GOOG"].tail(1).index)
    signals = strategy.signals(compute_features(stale, strategy.features), as_of=DECISION)
    assert [signal.symbol for signal in signals] == ["AAPL", "FB", "IBM", "MSFT"]


def test_no_history_at_all_gives_no_signal() -> None:
    assert decide(CrossSectionalMomentum(), history=20) == {}
    assert decide(CrossSectionalMomentum(), at=datetime(1999, 6, 1, tzinfo=timezone.utc)) == {}


def test_weights_shrink_with_volatility_and_never_grow() -> None:
    calm = decide(CrossSectionalMomentum(target_volatility=10.0))
    wild = decide(CrossSectionalMomentum(target_volatility=0.05))
    assert calm["GOOG"].target_weight == 0.5
    assert 0 < wild["FB"].target_weight < wild["GOOG"].target_weight < 0.5


@pytest.mark.parametrize(
    "wrong",
    [{"skip": -1}, {"skip": 63}, {"top_n": 0}, {"min_momentum": -1.0}, {"volatility_period": 1},
     {"target_volatility": -0.1}],
)  # fmt: skip
def test_senseless_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CrossSectionalMomentum(**wrong)  # type: ignore[arg-type] # wrong on purpose
