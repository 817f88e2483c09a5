"""A replay and a backtest of the same strategies over the same market, and what must be equal in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from trading_platform.domain.backtest.engine import Plan, run_backtest
from trading_platform.domain.backtest.moments import start_of
from trading_platform.domain.backtest.record import DecidedIntent, Record
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.ops.paper_market import PaperMarket
from trading_platform.ops.replay_world import Stage, replay_world
from trading_platform.replay.engine import Replay
from trading_platform.settings import Settings
from trading_platform.specs.loader import load_data_quality, load_risk_limits, load_strategy_specs, load_universe

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument


def shipped(*names: str) -> list[StrategySpec]:
    """The shipped specs of these names."""
    return [spec for spec in load_strategy_specs() if spec.name in names]


def replayed(
    specs: Sequence[StrategySpec], first: date, last: date, ledger_url: str, data_dir: Path | None = None
) -> Record:
    """What the real order path made of it."""
    start = start_of(specs, first, last)
    assert start is not None
    with replay_world(Stage(SETTINGS, start, ledger_url, data_dir)) as world:
        return Replay(specs, first, last, world).run()


def backtested(
    specs: Sequence[StrategySpec], first: date, last: date, account: str, data_dir: Path | None = None
) -> Record:
    """What the backtest makes of it."""
    start = start_of(specs, first, last)
    assert start is not None
    instruments = load_universe().since(start.date()).instruments
    market = PaperMarket(instruments, data_dir=data_dir, seed=SETTINGS.paper_seed, start=start)
    limits = load_risk_limits().account
    return run_backtest(Plan(specs, first, last, instruments, limits, load_data_quality(), account), market)


def assert_same(one: Record, other: Record) -> None:
    """Tick by tick, order by order, fill by fill, and to the cent."""
    assert len(one.ticks) == len(other.ticks)
    for mine, theirs in zip(one.ticks, other.ticks, strict=True):
        when = mine.strategy, mine.decision.as_of_utc
        assert mine.decision == theirs.decision
        assert mine.signals == theirs.signals, when
        assert list(map(without_forecast, mine.intents)) == list(map(without_forecast, theirs.intents)), when
        assert (mine.refused or {}) == (theirs.refused or {}), when
        assert mine.note == theirs.note, when
    assert one.orders == other.orders
    assert facts(one) == facts(other)
    assert one.readings == other.readings
    assert one.positions == other.positions
    assert one.quarantined_bars == other.quarantined_bars
    assert one.notes == other.notes


def without_forecast(decided: DecidedIntent) -> DecidedIntent:
    """The decision without the numbers of the broker's what-if, which a backtest can't ask for. Both must pass it."""
    results = [result for result in decided.verdict.results if result.control != "BrokerMargin"]
    assert len(results) == len(decided.verdict.results) - 1
    assert all(result.is_passed for result in decided.verdict.results if result.control == "BrokerMargin")
    return replace(decided, verdict=replace(decided.verdict, results=tuple(results)))


def facts(record: Record) -> list[Any]:
    """The fills without the ids that a broker gives."""
    return sorted(
        (replace(fill, execution_id="", perm_id=0, realized_pnl=None) for fill in record.fills),
        key=lambda fill: (fill.ts_utc, fill.client_order_id, fill.quantity),
    )


def rejections(record: Record) -> int:
    """How many intents risk refused."""
    return sum(not one.verdict.is_approved for tick in record.ticks for one in tick.intents)
