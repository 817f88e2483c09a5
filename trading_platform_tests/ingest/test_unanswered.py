"""What had no bars is kept with how often it was asked for, and left alone until it is due."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest

from trading_platform.domain.market_data.coverage import Ask
from trading_platform.ingest.bars import FetchedBars
from trading_platform.ingest.unanswered import after_asking, resting
from trading_platform.schemas.base import empty, validate
from trading_platform.schemas.market_data import RawBars, UnansweredBars

NOW = datetime(2013, 2, 28, 20, 45, tzinfo=timezone.utc)
DAY, BEFORE = date(2013, 2, 28), date(2013, 2, 27)
NOTHING = empty(UnansweredBars)


def known(*rows: tuple[str, date, str, int, datetime]) -> pd.DataFrame:
    columns = ["symbol", "session", "kind", "reason", "attempts", "asked_at_utc"]
    found = [(symbol, day.isoformat(), kind, "no security", count, at) for symbol, day, kind, count, at in rows]
    return validate(UnansweredBars, pd.DataFrame(found, columns=columns))


def answered(failures: Mapping[str, str] | None = None, **kinds: frozenset[str]) -> FetchedBars:
    return FetchedBars(empty(RawBars), failures or {}, 1, **kinds)


def after(
    before: pd.DataFrame,
    fetched: FetchedBars,
    *symbols: str,
    has_bars: frozenset[tuple[str, str]] = frozenset(),
    is_running: bool = False,
    now: datetime = NOW,
) -> list[dict[str, Any]]:
    asks = {symbol: Ask((DAY,)) for symbol in symbols}
    rows = after_asking(before, asks, fetched, has_bars, reasons={}, is_running=lambda _: is_running, now=now)
    return validate(UnansweredBars, rows).to_dict("records")


def test_what_has_bars_is_forgotten_and_what_was_not_asked_for_is_kept() -> None:
    before = known(("IBM", DAY, "no_bars", 3, NOW), ("AAPL", DAY, "failed", 1, NOW), ("IBM", BEFORE, "failed", 2, NOW))
    left = after(before, answered(), "IBM", has_bars=frozenset({("IBM", DAY.isoformat())}))
    assert [(row["symbol"], row["session"]) for row in left] == [("AAPL", "2013-02-28"), ("IBM", "2013-02-27")]


@pytest.mark.parametrize(
    ("fetched", "kind"),
    [
        (answered(), "no_bars"),
        (answered({"IBM": "refused"}), "failed"),
        (answered({"IBM": "no security"}, unknown=frozenset({"IBM"})), "unknown"),
        (answered({"IBM": "no data"}, without_data=frozenset({"IBM"})), "no_bars"),
        (answered({"IBM": "no data", "AAPL": "no data"}, without_data=frozenset({"IBM", "AAPL"})), "failed"),
    ],
)
def test_an_answer_without_bars_is_told_from_no_answer_and_from_an_outage(fetched: FetchedBars, kind: str) -> None:
    rows = after(NOTHING, fetched, "IBM", "AAPL")
    assert next(row for row in rows if row["symbol"] == "IBM")["kind"] == kind


@pytest.mark.parametrize(("wait", "attempts"), [(timedelta(minutes=9), 1), (timedelta(minutes=10), 2)])
def test_only_what_was_asked_when_it_was_due_counts(wait: timedelta, attempts: int) -> None:
    (row,) = after(known(("IBM", DAY, "no_bars", 1, NOW)), answered(), "IBM", now=NOW + wait)
    assert row["attempts"] == attempts
    assert row["asked_at_utc"] == (NOW if attempts == 1 else NOW + wait)


def test_of_a_running_session_only_who_is_not_known_is_kept() -> None:
    fetched = answered({"IBM": "no security"}, unknown=frozenset({"IBM"}))
    assert [row["symbol"] for row in after(NOTHING, fetched, "IBM", "AAPL", is_running=True)] == ["IBM"]


def test_who_is_not_known_rests_until_it_is_due() -> None:
    table = known(("IBM", DAY, "unknown", 2, NOW), ("AAPL", DAY, "failed", 1, NOW), ("GOOG", DAY, "unknown", 1, NOW))
    assert resting(table, ["IBM", "AAPL"], NOW) == {"IBM": "no security (asked 2 times, again 21:05 UTC)"}
    assert resting(table, ["IBM", "AAPL", "GOOG"], NOW + timedelta(minutes=20)) == {}
