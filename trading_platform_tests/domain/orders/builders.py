"""Values for the tests of orders: sensible by default, one field at a time made wrong."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.orders.ids import client_order_id
from trading_platform.domain.orders.model import AccountSummary, OrderIntent, OrderRequest, Quote, Side
from trading_platform.domain.orders.risk.context import DueBars, EquityMarks, RiskContext, SessionHours, Submission
from trading_platform.domain.orders.risk.limits import Limits
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.portfolio.trades import ClosedTrade
from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.spec import StrategySpec

NOW = datetime(2013, 2, 28, 20, 45, 12, tzinfo=timezone.utc)
TICK = datetime(2013, 2, 28, 20, 45, tzinfo=timezone.utc)
SESSION = date(2013, 2, 28)
ACCOUNT = "DU1000000"


def details(symbol: str = "TSLA", *, min_tick: str = "0.01", lot: str = "1") -> InstrumentDetails:
    return InstrumentDetails(
        instrument=Instrument(symbol, lot_size=Decimal(lot)),
        con_id=1,
        local_symbol=symbol,
        trading_class="NMS",
        long_name=symbol,
        min_tick=Decimal(min_tick),
        lot_size=Decimal(lot),
        time_zone="America/New_York",
        industry="",
        category="",
        data_origin="synthetic path, seed 7",
    )


def quote(
    symbol: str = "TSLA",
    bid: str | None = "99.99",
    ask: str | None = "100.01",
    last: str | None = "100",
    *,
    age: timedelta = timedelta(seconds=2),
    is_delayed: bool = False,
) -> Quote:
    prices = (None if text is None else Decimal(text) for text in (bid, ask, last))
    return Quote(symbol, *prices, ts_utc=NOW - age, is_delayed=is_delayed)


def flat_quote(symbol: str, price: Decimal) -> Quote:
    """A quote without a spread."""
    return Quote(symbol, price, price, price, NOW)


def intent(
    symbol: str = "TSLA",
    side: Side = "BUY",
    quantity: str | Decimal = "10",
    *,
    price: str | Decimal = "100",
    strategy: str = "tsla",
    revision: int = 0,
    **request: Any,
) -> OrderIntent:
    return OrderIntent(
        request=OrderRequest(
            client_order_id=client_order_id(strategy, symbol, TICK, revision),
            symbol=symbol,
            side=side,
            quantity=Decimal(quantity),
            **request,
        ),
        strategy=strategy,
        account=ACCOUNT,
        session=SESSION.isoformat(),
        tick_utc=TICK,
        as_of_utc=NOW,
        decision_price=Decimal(price),
        target_weight=1.0,
        confidence=0.8,
        reason="trend is up",
    )


def working(symbol: str = "TSLA", side: Side = "BUY", quantity: str = "10", strategy: str = "tsla") -> WorkingOrder:
    return WorkingOrder(client_order_id(strategy, symbol, TICK, 9), strategy, symbol, side, Decimal(quantity))


def submission(name: str, *, seconds_ago: float = 10, quantity: str = "10", strategy: str = "tsla") -> Submission:
    return Submission(name, strategy, "TSLA", "BUY", Decimal(quantity), NOW - timedelta(seconds=seconds_ago))


def trades(*pnls: int, minutes_ago: int = 1) -> tuple[ClosedTrade, ...]:
    """Closed trades, oldest first, a second apart, the last one ``minutes_ago``."""
    end = NOW - timedelta(minutes=minutes_ago, seconds=len(pnls) - 1)
    return tuple(
        ClosedTrade(f"trade {i}", "TSLA", Decimal(pnl), end + timedelta(seconds=i)) for i, pnl in enumerate(pnls)
    )


def summary(
    available: str | Decimal = "1000000", *, equity: str | Decimal = "1000000", gross: str | Decimal = "0"
) -> AccountSummary:
    money = Decimal(equity)
    return AccountSummary(ACCOUNT, "USD", money, money, Decimal(gross), Decimal(available), money * 4, NOW)


def context(**changes: Any) -> RiskContext:
    """A context in which ``intent()`` passes every control."""
    fields: dict[str, Any] = {
        "as_of_utc": NOW,
        "limits": Limits(),
        "account": summary(),
        "quotes": {"TSLA": quote()},
        "instruments": {"TSLA": details()},
        "strategy_positions": {},
        "account_positions": {},
        "working": (),
        "is_market_open": True,
        "halts": (),
        "quarantined": frozenset(),
        "signal_time_utc": NOW - timedelta(seconds=3),
        "session": SessionHours(NOW - timedelta(hours=6), NOW + timedelta(minutes=15), is_always_open=False),
        "recent_submissions": (),
        "equity_marks": EquityMarks(Decimal(1_000_000), Decimal(1_000_000)),
        "closed_trades": (),
        "bars": DueBars(TICK, dict.fromkeys(("TSLA", "IWM", "AAPL", "IBM", "MSFT"), TICK)),
    }
    return RiskContext(**(fields | changes))


def spec(**changes: Any) -> StrategySpec:
    fields: dict[str, Any] = {
        "name": "tsla",
        "strategy": "trend",
        "description": "a test",
        "universe": ("TSLA", "IWM"),
        "bar_size": "5 mins",
        "cadence_minutes": 5,
        "history_sessions": 5,
    }
    return StrategySpec.model_validate(fields | changes)


def signal(symbol: str = "TSLA", weight: float = 1.0, price: float = 100.0, side: str | None = None) -> Signal:
    natural = "FLAT" if weight == 0 else "LONG" if weight > 0 else "SHORT"
    return Signal(symbol, side or natural, weight, 0.8, price, "trend is up")  # type: ignore[arg-type]  # also wrong ones
