from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.orders.ids import (
    MAX_LENGTH,
    InvalidOrderIdError,
    OrderIdParts,
    client_order_id,
    ensure_orders_can_be_named,
    group_of,
    parse_client_order_id,
)

TICK = datetime(2013, 2, 28, 20, 45, tzinfo=timezone.utc)

parts = st.builds(
    OrderIdParts,
    strategy=st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True),
    symbol=st.from_regex(r"[A-Z0-9]([A-Z0-9 ./-]{0,6}[A-Z0-9])?", fullmatch=True),
    tick_utc=st.datetimes(timezones=st.just(timezone.utc)).map(lambda moment: moment.replace(second=0, microsecond=0)),
    revision=st.integers(0, 99),
    leg=st.sampled_from(["", "t", "s"]),
)


def name(of: OrderIdParts) -> str:
    return client_order_id(of.strategy, of.symbol, of.tick_utc, of.revision, of.leg)


def test_the_name_is_readable_and_says_what_it_is_of() -> None:
    assert client_order_id("tsla", "TSLA", TICK) == "tsla.TSLA.20130228T2045Z.r0"


@given(parts)
def test_a_name_taken_apart_gives_its_parts_back(of: OrderIdParts) -> None:
    assert parse_client_order_id(name(of)) == of


@given(parts, parts)
def test_two_different_decisions_never_share_a_name(one: OrderIdParts, other: OrderIdParts) -> None:
    assert (name(one) == name(other)) == (one == other)


@given(parts)
def test_a_name_is_never_longer_than_the_broker_keeps(of: OrderIdParts) -> None:
    assert len(name(of)) <= MAX_LENGTH


@given(st.text(max_size=45))
def test_a_text_is_either_a_name_that_is_built_alike_or_refused(text: str) -> None:
    try:
        of = parse_client_order_id(text)
    except InvalidOrderIdError:
        return
    assert name(of) == text


def test_the_time_zone_the_tick_is_written_in_does_not_matter() -> None:
    assert client_order_id("tsla", "TSLA", TICK.astimezone(ZoneInfo("America/New_York"))) == client_order_id(
        "tsla", "TSLA", TICK
    )


def test_symbols_with_dots_and_spaces_keep_theirs() -> None:
    for symbol in ("BRK B", "EUR.USD", "BF.B", "0700"):
        assert parse_client_order_id(client_order_id("x", symbol, TICK)).symbol == symbol


@pytest.mark.parametrize(
    ("strategy", "symbol", "tick", "revision", "says"),
    [
        ("TSLA", "TSLA", TICK, 0, "lower case"),
        ("ts.la", "TSLA", TICK, 0, "lower case"),
        ("tsla", "tsla", TICK, 0, "upper case"),
        ("tsla", "", TICK, 0, "upper case"),
        ("tsla", "TSLA ", TICK, 0, "upper case"),
        ("tsla", "TSLA", TICK.replace(tzinfo=None), 0, "no time zone"),
        ("tsla", "TSLA", TICK + timedelta(seconds=1), 0, "whole minute"),
        ("tsla", "TSLA", TICK, -1, "negative"),
        ("cross_sectional_mom", "GOOGL", TICK, 0, "shorten the name"),
    ],
)
def test_a_malformed_part_is_refused_by_name(
    strategy: str, symbol: str, tick: datetime, revision: int, says: str
) -> None:
    with pytest.raises(InvalidOrderIdError, match=says):
        client_order_id(strategy, symbol, tick, revision)


@pytest.mark.parametrize("text", ["tsla.TSLA.20130228T2045Z.r0x", "tsla.TSLA.20130228T2045Z.r0ts"])
def test_there_are_no_legs_but_target_and_stop(text: str) -> None:
    with pytest.raises(InvalidOrderIdError, match="is not an order id of this platform"):
        parse_client_order_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "manual",
        "tsla.TSLA.20130228T2045Z",
        "tsla.TSLA.20130228T2045Z.r01",
        "tsla.TSLA.20130231T2045Z.r0",
    ],
)
def test_an_order_placed_by_hand_is_not_taken_for_ours(text: str) -> None:
    with pytest.raises(InvalidOrderIdError, match="is not an order id of this platform"):
        parse_client_order_id(text)


def test_a_strategy_whose_orders_could_not_be_named_is_found_when_it_is_loaded() -> None:
    ensure_orders_can_be_named("momentum", ["AAPL", "BRK B"])
    with pytest.raises(InvalidOrderIdError, match="40 is the most"):
        ensure_orders_can_be_named("cross_sectional_mom", ["F", "GOOGL"])
    with pytest.raises(InvalidOrderIdError, match="40 is the most"):
        ensure_orders_can_be_named("cross_sectional_", ["GOOGL"], leg="s")


def test_exits_belong_to_their_entry_and_everything_else_to_itself() -> None:
    entry = client_order_id("tsla", "TSLA", TICK)
    assert {group_of(client_order_id("tsla", "TSLA", TICK, 0, leg)) for leg in ("", "t", "s")} == {entry}
    assert [group_of(text) for text in ("by.hand", "")] == ["by.hand", ""]
