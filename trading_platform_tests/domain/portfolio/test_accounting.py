from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.orders.model import Execution
from trading_platform.domain.portfolio.accounting import Book, ConflictingFillsError, book_from_fills

D = Decimal
START = datetime(2013, 2, 28, 15, tzinfo=timezone.utc)


def fill(
    number: int, signed: str | Decimal, price: str | Decimal, commission: str | None = "1", symbol: str = "IBM"
) -> Execution:
    quantity = D(signed)
    return Execution(
        execution_id=f"0000e0d5.{number:04d}.01.01",
        client_order_id="momentum.IBM.20130228T1430Z.r0",
        perm_id=1,
        account="DU1000000",
        symbol=symbol,
        side="BUY" if quantity > 0 else "SELL",
        quantity=abs(quantity),
        price=D(price),
        commission=None if commission is None else D(commission),
        realized_pnl=None,
        ts_utc=START + timedelta(seconds=number),
    )


def book(*fills: tuple[str, str]) -> Book:
    return book_from_fills(fill(i, signed, price) for i, (signed, price) in enumerate(fills))


@pytest.mark.parametrize(
    ("fills", "quantity", "average", "realized"),
    [
        ([("100", "10")], "100", "10", "0"),
        ([("100", "10"), ("100", "12")], "200", "11", "0"),
        ([("100", "10"), ("100", "12"), ("-50", "15")], "150", "11", "200"),
        ([("100", "10"), ("-100", "12")], "0", None, "200"),
        ([("-100", "10"), ("40", "8")], "-60", "10", "80"),
        ([("100", "10"), ("-150", "12")], "-50", "12", "200"),
        ([("-100", "10"), ("150", "12")], "50", "12", "-200"),
        ([("0.3", "30000"), ("-0.1", "33000")], "0.2", "30000", "300"),
    ],
)
def test_average_cost_and_realized_profit_follow_the_fills(
    fills: list[tuple[str, str]], quantity: str, average: str | None, realized: str
) -> None:
    holding = book(*fills).holdings["IBM"]
    assert holding.quantity == D(quantity)
    assert holding.average_cost == (None if average is None else D(average))
    assert holding.realized_pnl == D(realized)
    assert holding.commissions == len(fills)


def test_profit_is_told_apart_into_realized_unrealized_and_costs() -> None:
    holding = book(("100", "10"), ("-40", "12")).holdings["IBM"]
    assert (holding.realized_pnl, holding.unrealized_pnl(D(13)), holding.commissions) == (80, 180, 2)
    assert holding.net_pnl(D(13)) == 258
    assert holding.cash_flow == -1000 + 480 - 2


def test_each_close_is_kept_with_its_profit() -> None:
    closes = book(("100", "10"), ("-40", "12"), ("-100", "9")).closes
    assert [(close.quantity, close.pnl) for close in closes] == [(40, 80), (60, -60)]


def test_a_fill_reported_twice_counts_once_and_its_commission_may_come_later() -> None:
    first, again = fill(1, "10", "5", None), fill(1, "10", "5", "1.5")
    assert book_from_fills([first]).holdings["IBM"].uncommissioned_fills == 1
    for fills in ([first, again], [again, first], [again, again]):
        holding = book_from_fills(fills).holdings["IBM"]
        assert (holding.quantity, holding.commissions, holding.uncommissioned_fills) == (10, D("1.5"), 0)


def test_two_stories_about_one_execution_are_refused() -> None:
    with pytest.raises(ConflictingFillsError, match="two different contents"):
        book_from_fills([fill(1, "10", "5"), replace(fill(1, "10", "5"), price=D(6))])


def test_fills_are_accounted_for_in_the_order_they_happened_not_in_which_they_came() -> None:
    fills = [fill(0, "100", "10"), fill(1, "-100", "12"), fill(2, "100", "9")]
    assert book_from_fills(reversed(fills)) == book_from_fills(fills)


def test_no_dust_of_cost_is_left_of_the_smallest_crypto_fills() -> None:
    holding = book(("0.00000003", "0.00000007"), ("-0.00000003", "0.00000009")).holdings["IBM"]
    assert (holding.quantity, holding.cost, holding.realized_pnl) == (0, 0, D("6E-16"))


def test_no_fills_make_an_empty_book() -> None:
    empty = book_from_fills([])
    assert (empty.positions, empty.realized_pnl, empty.unrealized_pnl({}), empty.traded_notional) == ({}, 0, 0, 0)


def test_a_held_symbol_without_a_mark_has_no_profit_rather_than_none() -> None:
    with pytest.raises(KeyError):
        book(("1", "1")).unrealized_pnl({})


quantities = st.decimals("-1000", "1000", places=4).filter(bool)
prices = st.decimals("0.0001", "100000", places=4)
trades = st.lists(st.tuples(quantities, prices, st.decimals("-1", "50", places=6), st.sampled_from("AB")), max_size=25)


def fills_of(rows: list[tuple[Decimal, Decimal, Decimal, str]]) -> list[Execution]:
    return [fill(i, signed, price, str(cost), symbol) for i, (signed, price, cost, symbol) in enumerate(rows)]


@given(trades)
def test_a_position_is_the_sum_of_its_signed_fills(rows: list[tuple[Decimal, Decimal, Decimal, str]]) -> None:
    holdings = book_from_fills(fills_of(rows)).holdings
    for symbol in {row[3] for row in rows}:
        assert holdings[symbol].quantity == sum(row[0] for row in rows if row[3] == symbol)


@given(trades, prices)
def test_profit_minus_costs_is_exactly_the_cash_that_came_in_plus_what_is_held(
    rows: list[tuple[Decimal, Decimal, Decimal, str]], mark: Decimal
) -> None:
    result = book_from_fills(fills_of(rows))
    for symbol, holding in result.holdings.items():
        cash = -sum((row[0] * row[1] + row[2] for row in rows if row[3] == symbol), D(0))
        assert holding.cash_flow == cash
        assert holding.net_pnl(mark) == cash + holding.quantity * mark
    assert result.realized_pnl == sum((close.pnl for close in result.closes), D(0))


@given(trades)
def test_cost_has_the_sign_of_the_position_and_none_is_left_when_flat(
    rows: list[tuple[Decimal, Decimal, Decimal, str]],
) -> None:
    for holding in book_from_fills(fills_of(rows)).holdings.values():
        assert holding.cost * holding.quantity >= 0
        assert holding.quantity or holding.cost == 0


@given(trades)
def test_average_cost_lies_between_the_prices_that_were_paid(
    rows: list[tuple[Decimal, Decimal, Decimal, str]],
) -> None:
    for symbol, holding in book_from_fills(fills_of(rows)).holdings.items():
        if holding.average_cost is not None:
            paid = [row[1] for row in rows if row[3] == symbol and row[0] * holding.quantity > 0]
            assert min(paid) - D("1e-6") <= holding.average_cost <= max(paid) + D("1e-6")
