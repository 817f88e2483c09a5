"""Laws that hold for every sequence of orders, prices and volumes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.paper_gateway.model import Contract, OrderTicket, PaperOrder
from trading_platform.paper_gateway.time_in_force import minute_of
from trading_platform_tests.paper_gateway.venue_kit import AAPL, BTC, CLIENT, IBM, Desk, et

START = Decimal(1_000_000)
PARTICIPATION = Decimal("0.10")
CLOSES = ("MOC", "LOC")


@dataclass(frozen=True)
class Act:
    """Wait, then let the market move, then place (or cancel) something."""

    wait_seconds: int
    price: Decimal
    volume: int
    contract: Contract
    order: OrderTicket
    is_attached: bool
    cancels: int | None


def _ticks(low: str, high: str) -> st.SearchStrategy[Decimal]:
    return st.decimals(low, high, places=2)


@st.composite
def _tickets(draw: st.DrawFn) -> OrderTicket:
    return OrderTicket(
        action=draw(st.sampled_from(["BUY", "SELL"])),
        quantity=Decimal(draw(st.integers(1, 300))),
        order_type=draw(st.sampled_from(["MKT", "LMT", "STP", "STP LMT", "TRAIL", "MOC", "LOC"])),
        limit_price=draw(_ticks("95", "105")),
        aux_price=draw(_ticks("95", "105")),
        time_in_force=draw(st.sampled_from(["DAY", "GTC", "IOC"])),
        oca_group=draw(st.sampled_from(["", "", "a", "b"])),
        oca_type=draw(st.sampled_from([1, 2, 3])),
        outside_rth=draw(st.booleans()),
    )


acts = st.lists(
    st.builds(
        Act,
        wait_seconds=st.one_of(st.integers(0, 180), st.sampled_from([3600, 7 * 3600, 20 * 3600, 70 * 3600])),
        price=_ticks("94", "106"),
        volume=st.integers(0, 3000),
        contract=st.sampled_from([AAPL, AAPL, IBM, BTC]),
        order=_tickets(),
        is_attached=st.sampled_from([False, False, False, True]),
        cancels=st.one_of(st.none(), st.none(), st.none(), st.none(), st.integers(1, 12)),
    ),
    min_size=5,
    max_size=20,
)


def _play(script: list[Act]) -> Desk:
    desk = Desk(et("15:40"))
    last = 0
    scripted: set[tuple[int, datetime]] = set()
    for act in script:
        moment = desk.clock.now() + timedelta(seconds=act.wait_seconds)
        minute = (act.contract.con_id, minute_of(moment))
        if minute not in scripted:
            # a minute's volume is one number, whenever one asks for it
            desk.market.set_volume(act.contract, minute[1], str(act.volume))
            scripted.add(minute)
        desk.market.set_price(act.contract, act.price, moment)
        desk.at(moment)
        if act.cancels is not None:
            desk.venue.cancel(CLIENT, act.cancels)
        else:
            placed = desk.place(act.order, act.contract, parent_id=last if act.is_attached else 0)
            last = placed if desk.venue.next_order_id(CLIENT) > placed else last
    desk.at(desk.clock.now() + timedelta(minutes=3))
    return desk


def _orders(desk: Desk) -> dict[int, PaperOrder]:
    since = datetime.min.replace(tzinfo=et("10:00").tzinfo)
    return {o.perm_id: o for o in (*desk.venue.open_orders(), *desk.venue.completed_orders(since))}


@settings(max_examples=60, deadline=None)
@given(acts)
def test_every_dollar_share_and_fill_can_be_accounted_for(script: list[Act]) -> None:
    desk = _play(script)
    orders, fills = _orders(desk), desk.fills()

    spent = commissions = Decimal(0)
    held: dict[int, Decimal] = defaultdict(Decimal)
    filled: dict[int, Decimal] = defaultdict(Decimal)
    taken: dict[tuple[int, datetime], list[Decimal]] = defaultdict(list)
    for fill in fills:
        signed = fill.quantity if fill.action == "BUY" else -fill.quantity
        spent += signed * fill.price
        commissions += fill.commission
        held[fill.contract.con_id] += signed
        filled[fill.perm_id] += fill.quantity
        if orders[fill.perm_id].ticket.order_type not in CLOSES:
            taken[fill.contract.con_id, minute_of(fill.ts_utc)].append(fill.quantity)

    account = desk.venue._engine.account
    assert account.cash == START - spent - commissions
    realized = sum((fill.realized_pnl or Decimal(0) for fill in fills), Decimal(0))
    assert account.cash + sum(p.cost for p in account.positions.values()) == START + realized
    assert {h.contract.con_id: h.quantity for h in desk.venue.holdings()} == {c: q for c, q in held.items() if q}

    for order in orders.values():
        assert order.filled == filled[order.perm_id] <= order.ticket.quantity
        assert (order.status == "Filled") == (order.remaining == 0)
    for fill in fills:
        ticket = orders[fill.perm_id].ticket
        # an auction is at the very moment at which the market closes
        in_time = timedelta(microseconds=1) if ticket.order_type in CLOSES else timedelta(0)
        assert desk.market.is_open(fill.contract, fill.ts_utc - in_time)
        if ticket.order_type in ("LMT", "STP LMT", "LOC"):
            assert ticket.limit_price is not None
            assert fill.price <= ticket.limit_price if fill.action == "BUY" else fill.price >= ticket.limit_price
    for (con_id, minute), quantities in taken.items():
        contract = next(f.contract for f in fills if f.contract.con_id == con_id)
        cap = desk.market.minute_volume(contract, minute) * PARTICIPATION
        # a market order's first lot is granted whatever the volume
        lots = sum(1 for quantity in quantities if quantity == contract.size_increment)
        assert sum(quantities) <= cap + lots * contract.size_increment


@settings(max_examples=25, deadline=None)
@given(acts)
def test_identifiers_are_unique_and_permanent_ids_grow(script: list[Act]) -> None:
    desk = _play(script)
    exec_ids = [fill.exec_id for fill in desk.fills()]
    assert len(set(exec_ids)) == len(exec_ids)
    by_id = sorted(_orders(desk).values(), key=lambda order: order.order_id)
    perm_ids = [order.perm_id for order in by_id]
    assert perm_ids == sorted(set(perm_ids))


@settings(max_examples=25, deadline=None)
@given(acts)
def test_no_group_that_cancels_on_fill_trades_twice(script: list[Act]) -> None:
    desk = _play(script)
    for group in ("a", "b"):
        members = [o for o in _orders(desk).values() if o.ticket.oca_group == group]
        assert sum(order.status == "Filled" for order in members) <= 1
