"""Partitions: exactly the sessions of a calendar, each there before it opens, on every exchange."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import dagster as dg
import pytest

from trading_platform.defs.common import by_session
from trading_platform.defs.partitions import session_partitions
from trading_platform.domain.calendars import get_calendar

UTC = timezone.utc
CALENDARS = ["XNYS", "XLON", "XTKS", "XTAE", "FX", "24/5", "24/7"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_partitions_are_the_sessions_of_the_calendar(calendar: str) -> None:
    market, first, last = get_calendar(calendar), date(2010, 1, 4), date(2025, 1, 31)
    keys = session_partitions(calendar).get_partition_keys(at("2025-02-15T12:00"))
    found = [key for key in keys if first.isoformat() <= key <= last.isoformat()]
    assert found == [day.isoformat() for day in market.sessions(first, last)]


@pytest.mark.parametrize("day", ["2001-09-11", "2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09"])
def test_a_close_that_nobody_planned_is_no_partition(day: str) -> None:
    keys = session_partitions("XNYS").get_partition_keys(at("2025-02-15T12:00"))
    assert day not in keys
    assert day in session_partitions("FX").get_partition_keys(at("2025-02-15T12:00"))


@pytest.mark.parametrize("calendar", CALENDARS)
def test_a_session_is_there_when_it_opens_and_at_most_the_next_one_with_it(calendar: str) -> None:
    market, partitions = get_calendar(calendar), session_partitions(calendar)
    for day in ("2024-03-08", "2024-03-11", "2024-04-02", "2024-10-28", "2024-11-04", "2024-12-26"):
        session = market.latest_session(at(f"{day}T23:00"))
        newest = partitions.get_partition_keys(market.open_of(session) + timedelta(seconds=1))[-1]
        assert 0 <= market.distance(session, date.fromisoformat(newest)) <= 1, day


def test_assets_of_several_exchanges_stand_side_by_side_each_with_its_own_sessions() -> None:
    @dg.asset(**by_session("XNYS"))
    def new_york() -> None: ...

    @dg.asset(**by_session("XLON"))
    def london() -> None: ...

    definitions = dg.Definitions(
        assets=[new_york, london],
        jobs=[dg.define_asset_job(f"{name}_job", selection=[name]) for name in ("new_york", "london")],
    )
    # Presidents' Day in New York, a session in London; Easter Monday the other way round
    for job, day, is_there in (
        ("new_york_job", "2024-02-19", False),
        ("london_job", "2024-02-19", True),
        ("new_york_job", "2024-04-01", True),
        ("london_job", "2024-04-01", False),
    ):
        partitions = definitions.resolve_job_def(job).partitions_def
        assert partitions is not None
        assert partitions.has_partition_key(day) is is_there, (job, day)
