from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from trading_platform.paper_gateway.account import PaperAccount
from trading_platform.paper_gateway.model import Action
from trading_platform_tests.paper_gateway.venue_kit import AAPL, BTC, IBM

START = Decimal(1_000_000)
trades = st.lists(
    st.tuples(
        st.sampled_from([AAPL, IBM, BTC]),
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 500),
        st.decimals("0.01", 3000, places=2),
        st.decimals(0, 30, places=6),
    ),
    max_size=30,
)


def test_average_cost_includes_commissions_and_realized_pnl_pays_both_ways() -> None:
    account = PaperAccount(START)
    assert account.apply(AAPL, "BUY", Decimal(100), Decimal(50), Decimal(1)) is None
    assert account.positions[AAPL.con_id].average_cost == Decimal("50.01")
    assert account.apply(AAPL, "SELL", Decimal(40), Decimal(55), Decimal(1)) == Decimal("198.6")
    assert account.positions[AAPL.con_id].average_cost == Decimal("50.01")
    assert account.apply(AAPL, "SELL", Decimal(60), Decimal(55), Decimal(1)) == Decimal("298.4")
    assert account.positions == {}
    assert account.cash == START + Decimal(497)


def test_a_short_position_is_opened_below_its_price_by_the_commission() -> None:
    account = PaperAccount(START)
    account.apply(AAPL, "SELL", Decimal(100), Decimal(50), Decimal(1))
    assert account.positions[AAPL.con_id].average_cost == Decimal("49.99")
    assert account.apply(AAPL, "BUY", Decimal(100), Decimal(45), Decimal(1)) == Decimal(498)


def test_a_fill_that_turns_the_position_realizes_only_what_it_closes() -> None:
    account = PaperAccount(START)
    account.apply(AAPL, "BUY", Decimal(100), Decimal(50), Decimal(0))
    realized = account.apply(AAPL, "SELL", Decimal(150), Decimal(52), Decimal(3))
    assert realized == Decimal(198)
    position = account.positions[AAPL.con_id]
    assert (position.quantity, position.average_cost) == (Decimal(-50), Decimal("51.98"))


@given(trades)
def test_cash_positions_and_realized_pnl_reconcile_exactly(
    fills: list[tuple[object, Action, int, Decimal, Decimal]],
) -> None:
    account, spent, realized = PaperAccount(START), Decimal(0), Decimal(0)
    for contract, action, quantity, price, commission in fills:
        size = Decimal(quantity)
        realized += account.apply(contract, action, size, price, commission) or Decimal(0)  # type: ignore[arg-type]
        spent += (size if action == "BUY" else -size) * price + commission
    assert account.cash == START - spent
    assert account.cash + sum(p.cost for p in account.positions.values()) == START + realized
    assert all(position.quantity for position in account.positions.values())
