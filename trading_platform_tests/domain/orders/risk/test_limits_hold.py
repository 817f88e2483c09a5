"""The law of risk control over time: many orders in a tick, several ticks, any of them filled, and no limit broken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.orders.model import OrderIntent, OrderRequest
from trading_platform.domain.orders.risk.context import DueBars, EquityMarks, RiskContext, SessionHours, Submission
from trading_platform.domain.orders.risk.cutting import decide_cut
from trading_platform.domain.orders.risk.decision import decide
from trading_platform.domain.orders.risk.limits import AccountLimits, Limits
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform_tests.domain.orders import builders as b

D = Decimal
PRICES = {"AAA": D(10), "BBB": D(50), "CCC": D(200)}
SECTORS = {"AAA": "one", "BBB": "one", "CCC": "two"}
STRATEGIES = ("tsla", "two")
EQUITY = D(20_000)

Signed = list[tuple[str, str, Decimal]]
"""Strategy, symbol and signed quantity of orders."""


@dataclass(frozen=True)
class TickAsked:
    """One tick of one strategy: what it asks, how long after the tick before, and how the account stands."""

    strategy: str
    orders: list[tuple[str, Any, int]]
    seconds_later: int
    session_start: Decimal
    filled: list[bool]
    cancelled: list[bool]


@dataclass
class Account:
    """A broker that fills and cancels as it pleases at constant prices."""

    now: datetime = b.NOW
    positions: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    working: list[WorkingOrder] = field(default_factory=list)
    sent: list[Submission] = field(default_factory=list)

    def held(self, strategy: str | None) -> dict[str, Decimal]:
        """Signed holdings by symbol."""
        return {
            symbol: sum(
                (q for (s, held), q in self.positions.items() if held == symbol and strategy in (None, s)), D(0)
            )
            for symbol in PRICES
        }

    def pending(self, strategy: str | None) -> Signed:
        """What may still fill."""
        return [(o.strategy, o.symbol, o.signed_quantity) for o in self.working if strategy in (None, o.strategy)]

    def settle(self, filled: Iterable[bool], cancelled: Iterable[bool]) -> None:
        """Fill some orders, cancel others, leave the rest working."""
        rest = []
        for order, is_filled, is_cancelled in zip(self.working, filled, cancelled, strict=False):
            if is_filled:
                key = (order.strategy, order.symbol)
                self.positions[key] = self.positions.get(key, D(0)) + order.signed_quantity
            elif not is_cancelled:
                rest.append(order)
        self.working = rest


def extremes(held: Mapping[str, Decimal], pending: Signed) -> dict[str, tuple[Decimal, Decimal]]:
    """The lowest and highest holding of each symbol that pending orders can lead to."""
    return {
        symbol: (
            held[symbol] + sum((min(q, D(0)) for _, s, q in pending if s == symbol), D(0)),
            held[symbol] + sum((max(q, D(0)) for _, s, q in pending if s == symbol), D(0)),
        )
        for symbol in PRICES
    }


def assert_within(account: Account, strategy: str | None, limits: Limits) -> None:
    reach = extremes(account.held(strategy), account.pending(strategy))
    worst = {symbol: max(map(abs, ends)) for symbol, ends in reach.items()}
    for symbol, size in worst.items():
        assert size <= limits.max_position_quantity
        assert size * PRICES[symbol] <= limits.max_position_notional_usd
        assert size * PRICES[symbol] * 100 <= limits.max_concentration_pct * EQUITY
        if strategy is not None and not limits.is_short_allowed:
            assert reach[symbol][0] >= 0
    gross = sum((size * PRICES[symbol] for symbol, size in worst.items()), D(0))
    assert gross <= limits.max_gross_exposure_usd
    for end in (0, 1):
        assert abs(sum((ends[end] * PRICES[s] for s, ends in reach.items()), D(0))) <= limits.max_net_exposure_usd
    assert len(account.pending(strategy)) <= limits.max_open_orders
    if isinstance(limits, AccountLimits):
        assert gross <= limits.max_leverage * EQUITY
        for sector in ("one", "two"):
            of_sector = sum((worst[s] * PRICES[s] for s in PRICES if SECTORS[s] == sector), D(0))
            assert of_sector * 100 <= limits.max_sector_pct * EQUITY


def assert_pace(sent: Sequence[Submission], strategy: str | None, limits: Limits) -> None:
    ours = [order for order in sent if strategy in (None, order.strategy)]
    for last in ours:
        window = [o for o in ours if last.sent_utc - timedelta(minutes=1) < o.sent_utc <= last.sent_utc]
        assert len(window) <= limits.max_orders_per_minute
    assert len(ours) <= limits.max_orders_per_day
    for i, order in enumerate(ours):
        for earlier in ours[:i]:
            alike = replace(earlier, client_order_id=order.client_order_id, sent_utc=order.sent_utc) == order
            apart = (order.sent_utc - earlier.sent_utc).total_seconds()
            assert not alike or apart >= limits.duplicate_window_seconds


def intents_of(asked: TickAsked, now: datetime, number: int) -> list[OrderIntent]:
    return [
        replace(
            b.intent(symbol, side, D(quantity), price=PRICES[symbol], strategy=asked.strategy),
            request=OrderRequest(f"{asked.strategy}-{number}-{i}", symbol, side, D(quantity)),
            as_of_utc=now,
        )
        for i, (symbol, side, quantity) in enumerate(asked.orders)
    ]


def context_of(account: Account, asked: TickAsked, limits: Limits, account_limits: AccountLimits) -> RiskContext:
    now = account.now
    return b.context(
        as_of_utc=now,
        limits=limits,
        account_limits=account_limits,
        account=b.summary(available=EQUITY * 10, equity=EQUITY, gross="0"),  # the broker's sum lags as far as it can
        quotes={s: replace(b.flat_quote(s, price), ts_utc=now) for s, price in PRICES.items()},
        instruments={s: b.details(s) for s in PRICES},
        strategy_positions=account.held(asked.strategy),
        account_positions=account.held(None),
        working=tuple(account.working),
        signal_time_utc=now,
        bars=DueBars(now, dict.fromkeys(PRICES, now)),
        session=SessionHours(b.NOW - timedelta(hours=1), b.NOW + timedelta(days=1), is_always_open=False),
        recent_submissions=tuple(account.sent),
        equity_marks=EquityMarks(asked.session_start, EQUITY),
        sectors=SECTORS,
    )


def usd(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(Decimal)


SHARED: dict[str, st.SearchStrategy[Any]] = {
    "max_order_quantity": usd(10, 200),
    "max_order_notional_usd": usd(500, 10_000),
    "max_position_quantity": usd(20, 400),
    "max_position_notional_usd": usd(500, 20_000),
    "max_gross_exposure_usd": usd(500, 15_000),
    "max_net_exposure_usd": usd(1_000, 30_000),
    "max_concentration_pct": usd(10, 100),
    "max_open_orders": st.integers(1, 8),
    "max_orders_per_minute": st.integers(1, 8),
    "max_orders_per_day": st.integers(1, 8),
    "duplicate_window_seconds": st.integers(0, 120),
    "is_short_allowed": st.booleans(),
}
LOOSE: dict[str, Any] = {
    "max_order_notional_usd": D(1_000_000),
    "max_position_notional_usd": D(1_000_000),
    "max_concentration_pct": D(1_000),
    "max_orders_per_minute": 1_000,
    "duplicate_window_seconds": 0,
    "is_short_allowed": True,
}
OF_ACCOUNT: dict[str, st.SearchStrategy[Any]] = {
    "max_leverage": st.sampled_from([D("0.1"), D("0.5"), D(1), D(2)]),
    "max_sector_pct": usd(5, 100),
}


def limits_of(model: type[Limits], drawn: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """All limits drawn at once, or a single one that binds among loose ones, so that none hides behind another."""
    loose = LOOSE | ({"max_leverage": D(100), "max_sector_pct": D(1_000)} if model is AccountLimits else {})
    single = st.sampled_from(sorted(drawn)).flatmap(
        lambda name: st.builds(model, **{key: st.just(value) for key, value in loose.items()} | {name: drawn[name]})
    )
    return st.one_of(st.builds(model, **drawn), single, single, single)


flags = st.lists(st.booleans(), min_size=30, max_size=30)
ticks = st.lists(
    st.builds(
        TickAsked,
        strategy=st.sampled_from(STRATEGIES),
        orders=st.lists(
            st.tuples(
                st.sampled_from(sorted(PRICES)),
                st.sampled_from(["BUY", "SELL"]),
                st.sampled_from([1, 5, 20, 40, 80, 120]),
            ),
            max_size=8,
        ),
        seconds_later=st.integers(0, 90),
        session_start=st.sampled_from([EQUITY, EQUITY, D(25_000)]),
        filled=flags,
        cancelled=flags,
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=100)
@given(
    ticks=ticks,
    limits=st.tuples(limits_of(Limits, SHARED), limits_of(Limits, SHARED)),
    account_limits=limits_of(AccountLimits, SHARED | OF_ACCOUNT),
    is_cut=st.booleans(),
)
def test_no_sequence_of_approved_orders_breaks_a_limit(
    ticks: list[TickAsked], limits: tuple[Limits, Limits], account_limits: AccountLimits, is_cut: bool
) -> None:
    account = Account()
    of_strategy = dict(zip(STRATEGIES, limits, strict=True))
    for number, asked in enumerate(ticks):
        account.now += timedelta(seconds=asked.seconds_later)
        own = of_strategy[asked.strategy]
        intents = intents_of(asked, account.now, number)
        held = account.held(asked.strategy)
        context = context_of(account, asked, own, account_limits)
        judged = decide_cut(intents, context) if is_cut else zip(intents, decide(intents, context), strict=True)
        for intent, decision in judged:
            if not decision.is_approved:
                continue
            request = intent.request
            assert request.quantity <= own.max_order_quantity
            assert intent.notional_usd <= own.max_order_notional_usd
            crossing = [o for o in account.working if (o.symbol, o.side != request.side) == (request.symbol, True)]
            assert not crossing
            if asked.session_start > EQUITY:  # down by a fifth: only what leads toward flat
                assert held[request.symbol] * (1 if request.side == "SELL" else -1) >= request.quantity
            account.working.append(WorkingOrder.from_intent(intent))
            account.sent.append(
                Submission(
                    request.client_order_id,
                    intent.strategy,
                    request.symbol,
                    request.side,
                    request.quantity,
                    account.now,
                )
            )
        for strategy in STRATEGIES:
            assert_within(account, strategy, of_strategy[strategy])
            assert_pace(account.sent, strategy, of_strategy[strategy])
        assert_within(account, None, account_limits)
        assert len([o for o in account.sent if o.sent_utc == account.now]) <= account_limits.max_orders_per_minute
        account.settle(asked.filled, asked.cancelled)
