"""What the broker is asked for: whole sessions in days, and the end of a running one in seconds."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.ingest.sources.broker import BrokerSource
from trading_platform_tests.domain.orders.builders import details

NOW = datetime(2013, 2, 28, 20, 45, 20, tzinfo=timezone.utc)
SESSION = date(2013, 2, 28)
XNYS = get_calendar("XNYS")


class Listener:
    """A broker that remembers what it was asked, and has one bar."""

    def __init__(self) -> None:
        self.asked: list[tuple[datetime | None, str, str]] = []

    def data_origin(self, instrument: Instrument) -> str:
        return details(instrument.symbol).data_origin

    def historical_bars(
        self, instrument: Instrument, *, end: datetime | None, duration: str, bar_size: str
    ) -> pd.DataFrame:
        self.asked.append((end, duration, bar_size))
        stamp = pd.Timestamp(end or NOW).floor("D") + pd.Timedelta(hours=0 if bar_size == "1 day" else 16)
        return pd.DataFrame({"ts_utc": [stamp], "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0})


def asked(bar_size, sessions, since, now=NOW) -> list[tuple[datetime | None, str, str]]:  # type: ignore[no-untyped-def]  # as the protocol
    broker = Listener()
    BrokerSource(broker).bars(Instrument("IBM"), bar_size, sessions, since=since, now=now)  # type: ignore[arg-type]  # only bars are asked for
    return broker.asked


@pytest.mark.parametrize(
    ("bar_size", "minutes", "duration"), [("1 min", 4, "420 S"), ("5 mins", 20, "1380 S"), ("1 hour", 200, "12180 S")]
)
def test_the_end_of_a_running_session_is_asked_for_in_seconds_and_a_little_more(
    bar_size: str, minutes: int, duration: str
) -> None:
    since = NOW.replace(second=0) - timedelta(minutes=minutes)
    assert asked(bar_size, [SESSION], since) == [(None, duration, bar_size)]


def test_daily_bars_closed_sessions_and_several_are_asked_for_in_days() -> None:
    since = NOW - timedelta(minutes=4)
    evening = NOW + timedelta(hours=1)
    assert asked("1 day", [SESSION], since) == [(None, "1 D", "1 day")]
    assert asked("1 min", [SESSION], since, evening) == [(XNYS.close_of(SESSION), "1 D", "1 min")]
    assert [duration for _, duration, _ in asked("5 mins", [date(2013, 2, 27), SESSION], since)] == ["2 D"]
    assert asked("1 min", [SESSION], None) == [(None, "1 D", "1 min")]
