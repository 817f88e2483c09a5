"""Durations, bar sizes and trading hours in TWS's words."""

from __future__ import annotations

from datetime import datetime

import pytest

from trading_platform.domain.calendars import ALWAYS_OPEN, get_calendar
from trading_platform.paper_gateway.errors import RequestError
from trading_platform.paper_gateway.messages.times import UTC, local_stamp, parse_instant, utc_stamp, zone_name
from trading_platform.paper_gateway.spans import Duration, bar_seconds, parse_duration, span_start, trading_hours

XNYS = get_calendar("XNYS")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("end", "duration", "start"),
    [
        ("2013-02-28T20:45", Duration(1, "D"), "2013-02-28T14:30"),
        ("2013-02-28T21:00", Duration(1, "D"), "2013-02-28T14:30"),
        ("2013-02-28T14:30", Duration(1, "D"), "2013-02-27T14:30"),
        ("2013-03-03T12:00", Duration(1, "D"), "2013-03-01T14:30"),
        ("2013-02-19T18:00", Duration(2, "D"), "2013-02-15T14:30"),
        ("2013-02-28T20:45", Duration(1, "W"), "2013-02-22T14:30"),
        ("2013-02-28T20:45", Duration(1, "M"), "2013-01-29T14:30"),
        ("2013-03-31T20:45", Duration(1, "M"), "2013-03-01T14:30"),
        ("2013-02-28T20:45", Duration(1, "Y"), "2012-02-29T14:30"),
        ("2013-02-28T20:45", Duration(600, "S"), "2013-02-28T20:35"),
        ("2013-03-02T12:00", Duration(600, "S"), "2013-03-01T20:50"),
        ("2013-02-28T14:35", Duration(600, "S"), "2013-02-27T20:55"),
    ],
)
def test_a_span_starts_where_tws_starts_it(end: str, duration: Duration, start: str) -> None:
    assert span_start(XNYS, utc(end), duration, is_daily=False) == utc(start)


def test_daily_spans_start_at_midnight_of_the_first_sessions_date() -> None:
    assert span_start(XNYS, utc("2013-02-28T20:45"), Duration(2, "D"), is_daily=True) == utc("2013-02-27T00:00")


def test_a_market_that_never_closes_counts_calendar_days() -> None:
    always = get_calendar(ALWAYS_OPEN)
    assert span_start(always, utc("2013-03-02T12:00"), Duration(2, "D"), is_daily=False) == utc("2013-03-01T00:00")
    assert span_start(always, utc("2013-03-02T00:00"), Duration(1, "W"), is_daily=False) == utc("2013-02-23T00:00")
    assert span_start(always, utc("2013-03-02T12:00"), Duration(3600, "S"), is_daily=False) == utc("2013-03-02T11:00")


def test_a_span_beyond_the_calendar_has_no_start() -> None:
    assert span_start(XNYS, utc("1998-01-06T20:00"), Duration(300, "D"), is_daily=False) is None


@pytest.mark.parametrize(
    ("text", "seconds", "code"),
    [
        ("1D", 60, 321),
        ("0 D", 60, 321),
        ("-1 D", 60, 321),
        ("1 H", 60, 321),
        ("366 D", 86_400, 321),
        ("13 M", 86_400, 321),
        ("90000 S", 60, 321),
        ("53 W", 86_400, 321),
        ("69 Y", 86_400, 321),
        ("2001 S", 1, 162),
        ("1 D", 1, 162),
        ("1 W", 5, 162),
        ("1 M", 15, 162),
        ("1 Y", 30, 162),
    ],
)
def test_a_bad_duration_is_refused(text: str, seconds: int, code: int) -> None:
    with pytest.raises(RequestError) as refused:
        parse_duration(text, seconds)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2000 S", 1), ("1 D", 5), ("1 W", 10), ("1 M", 30), ("1 Y", 60), ("365 D", 60), ("52 W", 60), ("68 Y", 86_400)],
)
def test_the_longest_durations_are_taken(text: str, seconds: int) -> None:
    count, unit = text.split()
    assert parse_duration(text, seconds) == Duration(int(count), unit)


def test_a_bad_bar_size_is_refused_with_the_legal_ones() -> None:
    assert bar_seconds("5 mins") == 300
    with pytest.raises(RequestError, match="1 min, 2 mins"):
        bar_seconds("5 minutes")


def test_hours_tell_half_days_holidays_and_weekends_apart() -> None:
    hours = trading_hours(XNYS, utc("2012-11-21T20:00"), "US/Eastern", days=5)
    assert hours == (
        "20121121:0930-20121121:1600;20121122:CLOSED;20121123:0930-20121123:1300;20121124:CLOSED;20121125:CLOSED"
    )


@pytest.mark.parametrize(
    "text",
    [
        "20130228 15:45:00 US/Eastern",
        "20130228 15:45:00",
        "20130228-20:45:00",
        "20130228  15:45:00",
        "20130228 20:45 UTC",
    ],
)
def test_instants_are_read_in_every_spelling(text: str) -> None:
    assert parse_instant(text) == utc("2013-02-28T20:45")


@pytest.mark.parametrize("text", ["20130228", "20131301 00:00:00", "20130228 15:45:00 Mars/Olympus", "now", ""])
def test_an_unreadable_instant_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="321"):
        parse_instant(text)


def test_instants_are_written_as_tws_writes_them() -> None:
    moment = utc("2013-02-28T20:45")
    assert local_stamp(moment, "America/New_York") == "20130228 15:45:00 US/Eastern"
    assert utc_stamp(moment) == "20130228-20:45:00"
    assert zone_name("Europe/Berlin") == "Europe/Berlin"
