"""What a decision costs in the process: sizing, cutting to limits and all controls, for 25 and for 500 orders.

Pure code, no broker and no database. The account holds as many other positions as the tick has orders, has sent 500
orders today, and has ten working. "cut" are orders that some limit must be bisected for. The figures
are processor time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

from common import show, spread

from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.orders.intents import build_intents
from trading_platform.domain.orders.model import AccountSummary, OrderIntent, Quote, RiskDecision
from trading_platform.domain.orders.risk.context import DueBars, EquityMarks, RiskContext, SessionHours, Submission
from trading_platform.domain.orders.risk.cutting import CUT, judge
from trading_platform.domain.orders.risk.limits import AccountLimits, Limits
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.spec import StrategySpec

NOW = datetime(2013, 2, 28, 15, 30, 7, tzinfo=timezone.utc)
TICK = NOW.replace(second=0)
PRICE = Decimal("100.25")
EQUITY = Decimal(100_000_000)
LOOSE = {"max_open_orders": 10_000, "max_orders_per_minute": 10_000, "max_orders_per_day": 10_000}
WIDE = {f"max_{what}_usd": EQUITY for what in ("gross_exposure", "net_exposure", "position_notional")}


def world(count: int, is_cut: bool) -> tuple[StrategySpec, RiskContext, list[Signal]]:
    """A strategy with ``count`` symbols to buy, and the account it trades in."""
    symbols = [f"S{number:04d}" for number in range(count)]
    held = {f"H{number:04d}": Decimal(10) for number in range(count)}
    known = [*symbols, *held]
    limits = Limits.model_validate(LOOSE | WIDE | {"max_order_notional_usd": 5_000 if is_cut else 50_000})
    account = AccountLimits.model_validate(LOOSE | WIDE)
    spec = StrategySpec.model_validate(
        {
            "name": "many",
            "strategy": "trend_momentum",
            "description": "many orders",
            "universe": symbols,
            "bar_size": "5 mins",
            "cadence_minutes": 5,
            "history_sessions": 3,
            "sizing": {"method": "atr_risk", "risk_fraction": "0.0001", "atr_multiple": 2, "equity_fraction": "0.0001"},
        }
    )
    details = {
        symbol: InstrumentDetails(
            Instrument(symbol), 1, symbol, "", symbol, Decimal("0.01"), Decimal(1), "America/New_York", "", "", "bench"
        )
        for symbol in known
    }
    sent = tuple(
        Submission(f"o{i}", "other", "H0000", "BUY", Decimal(1), NOW - timedelta(minutes=i)) for i in range(500)
    )
    context = RiskContext(
        as_of_utc=NOW,
        limits=limits,
        account_limits=account,
        account=AccountSummary("DU1", "USD", EQUITY, EQUITY, Decimal(0), EQUITY, EQUITY, NOW),
        quotes={symbol: Quote(symbol, PRICE, PRICE, PRICE, NOW) for symbol in known},
        instruments=details,
        strategy_positions={},
        account_positions=held,
        working=tuple(WorkingOrder(f"w{i}", "other", f"H{i:04d}", "BUY", Decimal(5)) for i in range(10)),
        is_market_open=True,
        session=SessionHours(NOW - timedelta(hours=1), NOW + timedelta(hours=5), is_always_open=False),
        halts=(),
        quarantined=frozenset(),
        signal_time_utc=NOW,
        recent_submissions=sent,
        equity_marks=EquityMarks(EQUITY, EQUITY),
        closed_trades=(),
        sectors=dict.fromkeys(known, "technology"),
        bars=DueBars(TICK, dict.fromkeys(symbols, TICK)),
    )
    return spec, context, [Signal(symbol, "LONG", 1.0, 0.8, float(PRICE), "up", atr=0.5) for symbol in symbols]


def decide_once(
    spec: StrategySpec, context: RiskContext, signals: Sequence[Signal]
) -> list[tuple[OrderIntent, RiskDecision]]:
    """Plan and judge as ``execution.decide`` does, from a context that nothing was summed of yet."""
    fresh = replace(context)
    plan = build_intents(
        signals,
        spec,
        equity=EQUITY,
        positions={},
        working=fresh.working,
        quotes=fresh.quotes,
        instruments=fresh.instruments,
        tick=TICK,
        as_of=NOW,
        session=NOW.date(),
        account="DU1",
    )
    return judge(plan.intents, fresh, spec)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows: dict[str, str] = {}
    raw: dict[str, object] = {}
    for count in (25, 500):
        for is_cut in (False, True):
            spec, context, signals = world(count, is_cut)
            samples = []
            for _ in range(given.repeat):
                start = time.process_time()
                judged = decide_once(spec, context, signals)
                samples.append((time.process_time() - start) * 1000 / count)
            approved = sum(decision.is_approved for _, decision in judged)
            cut = sum(any(result.control == CUT for result in decision.results) for _, decision in judged)
            name = f"{count} orders, {'all cut' if is_cut else 'none cut'}"
            if (approved, cut) != (count, count if is_cut else 0):
                message = f"{name}: {approved} approved, {cut} cut: this does not measure what it says"
                raise SystemExit(message)
            rows[name] = f"{spread(samples)} ms per order, {spread([sample * count for sample in samples])} ms in all"
            raw[name] = samples
    show("A decision: sizing, cutting, all controls", rows, given.json, raw)


if __name__ == "__main__":
    main()
