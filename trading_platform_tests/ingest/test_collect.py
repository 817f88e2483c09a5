"""Collecting bars against the real gateway: a tick asks for little, and has what a full request would have."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data import history
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.history import complete_sessions
from trading_platform.ingest.bars import NoBarsError
from trading_platform.paper_gateway.faults import RefuseHistory, RewriteHistory
from trading_platform.storage.bar_store import BarStore
from trading_platform_tests.ingest.kit import Desk, assert_truthful, desk_at

UTC = timezone.utc
XNYS = get_calendar("XNYS")
INSTRUMENTS = {
    **{name: Instrument(name) for name in ("AAPL", "IBM", "MSFT", "NOPE")},
    "BTC": Instrument("BTC", security_type="CRYPTO", exchange="PAXOS", calendar="24/7"),
}
MINUTES = Feed("minute", "XNYS", "1 min", ("AAPL", "IBM", "MSFT"), 1, ())
FIVES = Feed("fives", "XNYS", "5 mins", ("AAPL", "IBM"), 3, ("tsla",))
HOURS = Feed("hours", "24/7", "1 hour", ("BTC",), 2, ("btc",))
DAYS = Feed("days", "XNYS", "1 day", ("AAPL", "IBM"), 5, ("momentum",))
SESSION = date(2013, 2, 28)
HALF_DAY = date(2012, 11, 23)
_numbers = count(1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk_at(tmp_path_factory.mktemp("desk"), datetime(2012, 11, 23, 14, 30, tzinfo=UTC), INSTRUMENTS) as made:
        yield made


@pytest.fixture
def desk(shared: Desk, tmp_path: Path) -> Iterator[Desk]:
    """The shared gateway with a lake of the test's own, a quarter of an hour before the close."""
    yield anew(shared, tmp_path)
    shared.faults.clear()


def anew(shared: Desk, home: Path) -> Desk:
    """The same gateway with an empty lake."""
    move(shared, datetime(2013, 2, 28, 20, 45, tzinfo=UTC))
    return Desk(shared.gateway, shared.clock, shared.broker, INSTRUMENTS, type(shared.lake)(str(home / "lake")))


def move(desk: Desk, moment: datetime) -> None:
    desk.clock.moment = moment


class Killed(BaseException):
    """The process ended here."""


class DiesBeforeWriting(BarStore):
    """A run that is killed when it has its answer."""

    def write_bars(self, bars: pd.DataFrame, sessions: Sequence[str]) -> None:
        raise Killed


EVENTS = ("tick", "tick", "tick", "one fails", "killed", "two at once", "restart")


@pytest.mark.parametrize(
    ("feed", "session"), [(MINUTES, SESSION), (MINUTES, HALF_DAY), (FIVES, SESSION), (HOURS, date(2013, 2, 27))]
)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_happens_between_ticks_a_tick_has_what_a_full_request_has(
    shared: Desk, tmp_path: Path, feed: Feed, session: date, data: st.DataObject
) -> None:
    desk = anew(shared, tmp_path / f"{next(_numbers)}")
    calendar = get_calendar(feed.calendar)
    opens, closes = calendar.open_of(session), calendar.close_of(session)
    length = int((closes - opens).total_seconds())
    offsets = data.draw(st.lists(st.integers(61, length - 1), min_size=3, max_size=8, unique=True).map(sorted))
    for offset in offsets:
        move(desk, opens + timedelta(seconds=offset))
        event = data.draw(st.sampled_from(EVENTS))
        happen(desk, feed, session, event)
        shared.gateway = desk.gateway
        if event in ("one fails", "killed"):
            continue
        if event == "restart":
            desk.collect(feed, [session])
        pd.testing.assert_frame_equal(desk.stored(feed, [session]), desk.full(feed, [session]))
    desk.clock.advance(timedelta(seconds=1))
    desk.collect(feed, [session])
    bars = desk.store(feed).bars([session.isoformat()])
    pd.testing.assert_frame_equal(desk.stored(feed, [session]), desk.full(feed, [session]))
    assert_truthful(bars, feed)
    if desk.clock.now() < closes:
        assert complete_sessions(bars, calendar) == {}
    move(desk, closes + timedelta(minutes=15))
    desk.collect(feed, [session])
    settled = desk.store(feed).bars([session.isoformat()])
    pd.testing.assert_frame_equal(desk.stored(feed, [session]), desk.full(feed, [session]))
    assert complete_sessions(settled, calendar) == {symbol: {session} for symbol in feed.symbols}
    assert settled["is_final"].all()


def happen(desk: Desk, feed: Feed, session: date, event: str) -> None:
    if event == "one fails" and len(feed.symbols) > 1:
        fault = RefuseHistory(feed.symbols[1])
        desk.faults.add(fault)
        assert set(desk.collect(feed, [session]).failures) == {feed.symbols[1]}
        desk.faults.remove(fault)
    elif event == "killed":
        with pytest.raises(Killed):
            desk.collect(feed, [session], store=DiesBeforeWriting(desk.lake, feed.name))
    elif event == "two at once":
        runs = [threading.Thread(target=desk.collect, args=(feed, [session])) for _ in range(2)]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
    elif event == "restart":
        desk.restart()
    else:
        desk.collect(feed, [session])


def test_a_tick_asks_each_symbol_for_its_last_bars_only(desk: Desk) -> None:
    first = desk.collect(MINUTES, [SESSION])
    desk.source.asked.clear()
    desk.clock.advance(timedelta(minutes=1))
    tick = desk.collect(MINUTES, [SESSION])
    assert (first.bars, tick.bars) == (3 * 375, 3 * 4)
    now = desk.clock.now()
    assert {since for _, _, since in desk.source.asked} == {now - timedelta(minutes=4)}
    assert tick.requests == 3


def test_a_symbol_that_was_away_catches_up_all_it_missed(desk: Desk) -> None:
    move(desk, datetime(2013, 2, 28, 15, 0, tzinfo=UTC))
    desk.collect(MINUTES, [SESSION])
    desk.faults.add(RefuseHistory("IBM"))
    for _ in range(3):
        desk.clock.advance(timedelta(minutes=40))
        desk.collect(MINUTES, [SESSION])
    kept = desk.stored(MINUTES, [SESSION]).query("symbol == 'IBM'")
    assert len(kept) == 30
    assert kept["is_final"].all()
    desk.faults.clear()
    desk.clock.advance(timedelta(minutes=1))
    desk.collect(MINUTES, [SESSION])
    pd.testing.assert_frame_equal(desk.stored(MINUTES, [SESSION]), desk.full(MINUTES, [SESSION]))


def test_of_two_overlapping_runs_the_later_one_stays_though_the_earlier_one_ends_last(desk: Desk) -> None:
    desk.collect(MINUTES, [SESSION])
    desk.clock.advance(timedelta(minutes=3))

    class Slow(BarStore):
        """Between its question and its answer a later run comes and goes."""

        has_asked = False

        def bars(self, sessions: Sequence[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
            if self.has_asked:
                desk.clock.advance(timedelta(minutes=2))
                desk.collect(MINUTES, [SESSION])
            self.has_asked = not self.has_asked
            return super().bars(sessions, columns)

    desk.collect(MINUTES, [SESSION], store=Slow(desk.lake, "minute"))
    pd.testing.assert_frame_equal(desk.stored(MINUTES, [SESSION]), desk.full(MINUTES, [SESSION]))
    assert desk.store(MINUTES).revisions([SESSION.isoformat()]).empty


def test_a_late_tick_does_not_undo_the_settled_session(desk: Desk) -> None:
    desk.collect(MINUTES, [SESSION])

    class Slow(BarStore):
        """Settled between its question and its answer."""

        reads = 0

        def bars(self, sessions: Sequence[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
            self.reads += 1
            if self.reads == 2:
                desk.clock.advance(timedelta(minutes=45))
                desk.collect(MINUTES, [SESSION])
            return super().bars(sessions, columns)

    desk.collect(MINUTES, [SESSION], store=Slow(desk.lake, "minute"))
    stored = desk.store(MINUTES).bars([SESSION.isoformat()])
    assert complete_sessions(stored, XNYS) == {symbol: {SESSION} for symbol in MINUTES.symbols}


def test_a_symbol_nobody_knows_is_asked_for_ever_more_rarely(desk: Desk) -> None:
    feed = Feed("minute", "XNYS", "1 min", ("AAPL", "NOPE"), 1, ())
    move(desk, datetime(2013, 2, 28, 15, 0, tzinfo=UTC))
    asked = 0
    for _ in range(30):
        desk.source.asked.clear()
        done = desk.collect(feed, [SESSION])
        assert "NOPE" in done.failures
        asked += [symbol for symbol, _, _ in desk.source.asked].count("NOPE")
        desk.clock.advance(timedelta(minutes=2))
    assert asked == 3  # at once, after 10 and after 20 minutes more; then after 40
    assert "again 16:10 UTC" in done.failures["NOPE"]


def test_a_feed_of_nobody_but_strangers_fails_each_time(desk: Desk) -> None:
    feed = Feed("minute", "XNYS", "1 min", ("NOPE",), 1, ())
    for _ in range(2):
        with pytest.raises(NoBarsError, match="NOPE"):
            desk.collect(feed, [SESSION])
        desk.clock.advance(timedelta(minutes=1))


def test_a_bar_that_is_changed_within_the_overlap_is_replaced_and_kept_as_a_revision(desk: Desk) -> None:
    desk.collect(MINUTES, [SESSION])
    desk.clock.advance(timedelta(minutes=1))
    newest = desk.clock.now() - timedelta(minutes=2)
    desk.faults.add(RewriteHistory("IBM", volume_factor=2, start=newest, end=newest + timedelta(minutes=1)))
    desk.source.asked.clear()
    done = desk.collect(MINUTES, [SESSION])
    assert len(desk.source.asked) == 3
    (row,) = done.revisions.to_dict("records")
    assert (row["symbol"], row["kind"], row["found_in"]) == ("IBM", "revised", "tick")
    assert row["new_volume"] == 2 * row["old_volume"]
    assert len(desk.store(MINUTES).revisions([SESSION.isoformat()])) == 1
    pd.testing.assert_frame_equal(desk.stored(MINUTES, [SESSION]), desk.full(MINUTES, [SESSION]))


def test_a_rewrite_of_the_running_session_makes_the_tick_ask_for_all_of_it(desk: Desk) -> None:
    desk.collect(MINUTES, [SESSION])
    desk.clock.advance(timedelta(minutes=1))
    desk.faults.add(RewriteHistory("IBM", volume_factor=3))
    desk.source.asked.clear()
    done = desk.collect(MINUTES, [SESSION])
    assert [(symbol, since is None) for symbol, _, since in desk.source.asked].count(("IBM", True)) == 1
    assert len(done.revisions) == 375
    pd.testing.assert_frame_equal(desk.stored(MINUTES, [SESSION]), desk.full(MINUTES, [SESSION]))


def test_what_settling_changes_is_kept_as_a_revision(desk: Desk) -> None:
    desk.collect(FIVES, [SESSION])
    desk.clock.advance(timedelta(minutes=30))
    gone = datetime(2013, 2, 28, 16, 0, tzinfo=UTC)
    desk.faults.add(
        RewriteHistory("IBM", price_factor=1.01, end=datetime(2013, 2, 28, 14, 36, tzinfo=UTC)),
        RewriteHistory("AAPL", start=gone, end=gone + timedelta(minutes=5), is_removed=True),
    )
    done = desk.collect(FIVES, [SESSION])
    told = done.revisions[["symbol", "kind", "found_in"]].to_numpy().tolist()
    assert told == [["AAPL", "vanished", "settling"], *[["IBM", "revised", "settling"]] * 2]
    pd.testing.assert_frame_equal(desk.stored(FIVES, [SESSION]), desk.full(FIVES, [SESSION]))


class TestRanges:
    """Several sessions: what is missing of them, and nothing else."""

    DAYS = XNYS.sessions(date(2013, 2, 19), date(2013, 2, 27))

    def asked(self, desk: Desk) -> list[tuple[str, str]]:
        return [(symbol, day) for symbol, days, _ in desk.source.asked for day in days]

    def test_pieces_that_were_written_before_the_end_are_not_asked_for_again(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(history, "longest_request", lambda *_: 1)  # a piece is a session

        class Dies(BarStore):
            """Killed at the third piece."""

            pieces = 0

            def write_bars(self, bars: pd.DataFrame, sessions: Sequence[str]) -> None:
                self.pieces += 1
                if self.pieces == 3:
                    raise Killed
                super().write_bars(bars, sessions)

        with pytest.raises(Killed):
            desk.collect(MINUTES, self.DAYS, store=Dies(desk.lake, "minute"))
        desk.source.asked.clear()
        desk.collect(MINUTES, self.DAYS)
        rest = [day.isoformat() for day in self.DAYS[2:]]
        assert sorted(self.asked(desk)) == sorted((symbol, day) for symbol in MINUTES.symbols for day in rest)
        pd.testing.assert_frame_equal(desk.stored(MINUTES, self.DAYS), desk.full(MINUTES, self.DAYS))

    def test_what_is_complete_is_asked_for_only_on_purpose(self, desk: Desk) -> None:
        desk.collect(FIVES, self.DAYS)
        desk.source.asked.clear()
        done = desk.collect(FIVES, self.DAYS)
        assert (self.asked(desk), done.asked, done.requests) == ([], 0, 0)
        desk.collect(FIVES, self.DAYS, refetch={"IBM"})
        assert {symbol for symbol, _ in self.asked(desk)} == {"IBM"}
        assert len(self.asked(desk)) == len(self.DAYS)
        desk.collect(FIVES, self.DAYS, refetch={"all"})
        assert len(self.asked(desk)) == 3 * len(self.DAYS)

    def test_a_symbol_that_failed_is_asked_for_again_and_the_others_are_not(self, desk: Desk) -> None:
        fault = RefuseHistory("IBM")
        desk.faults.add(fault)
        done = desk.collect(FIVES, self.DAYS)
        assert set(done.failures) == {"IBM"}
        desk.faults.remove(fault)
        desk.source.asked.clear()
        desk.collect(FIVES, self.DAYS)
        assert {symbol for symbol, _ in self.asked(desk)} == {"IBM"}
        pd.testing.assert_frame_equal(desk.stored(FIVES, self.DAYS), desk.full(FIVES, self.DAYS))
        assert desk.store(FIVES).unanswered_bars([day.isoformat() for day in self.DAYS]).empty

    def test_a_backfill_of_one_session_asks_for_what_is_missing_too(self, desk: Desk) -> None:
        (day,) = self.DAYS[-1:]
        desk.faults.add(RefuseHistory("IBM", count=1))
        desk.collect(FIVES, [day])
        desk.source.asked.clear()
        desk.collect(FIVES, [day], is_range=True)
        assert self.asked(desk) == [("IBM", day.isoformat())]

    def test_a_symbol_that_fails_keeps_its_past(self, desk: Desk) -> None:
        desk.collect(FIVES, self.DAYS)
        before = desk.stored(FIVES, self.DAYS)
        desk.faults.add(RefuseHistory("IBM"))
        desk.collect(FIVES, self.DAYS, refetch={"all"})
        pd.testing.assert_frame_equal(desk.stored(FIVES, self.DAYS), before)

    def test_a_session_without_a_bar_of_a_symbol_is_given_up_after_a_while(self, desk: Desk) -> None:
        gone = RewriteHistory(
            "IBM",
            start=datetime(2013, 2, 20, tzinfo=UTC),
            end=datetime(2013, 2, 21, tzinfo=UTC),
            is_removed=True,
        )
        desk.faults.add(gone)
        for _ in range(3):  # asking more often than is due does not count
            desk.collect(FIVES, self.DAYS)
        for wait in (10, 20, 40, 80, 160):
            desk.clock.advance(timedelta(minutes=wait))
            assert desk.collect(FIVES, self.DAYS).asked == 1
        (row,) = desk.store(FIVES).unanswered_bars([day.isoformat() for day in self.DAYS]).to_dict("records")
        assert (row["symbol"], row["session"], row["kind"], row["attempts"]) == ("IBM", "2013-02-20", "no_bars", 6)
        desk.source.asked.clear()
        assert desk.collect(FIVES, self.DAYS).requests == 0


class TestRescaledAnswers:
    """A vendor that adjusts its history for a split after the fact: what is stored as traded stays."""

    DAYS = XNYS.sessions(date(2013, 2, 19), SESSION)
    EX = datetime(2013, 2, 28, tzinfo=UTC)
    SPLIT = RewriteHistory("IBM", price_factor=0.25, volume_factor=4, end=EX)
    KNOWN: ClassVar = {"IBM": {"2013-02-28": 4.0}}

    @pytest.fixture
    def desk(self, desk: Desk) -> Desk:
        """The sessions up to the 27th, stored on that day."""
        move(desk, datetime(2013, 2, 27, 22, 0, tzinfo=UTC))
        desk.collect(DAYS, self.DAYS[:-1])
        move(desk, datetime(2013, 2, 28, 20, 45, tzinfo=UTC))
        return desk

    def past(self, desk: Desk, days: Sequence[date] | None = None) -> pd.DataFrame:
        return desk.stored(DAYS, days or self.DAYS[:-1])

    def test_it_shows_beside_todays_bar_and_changes_nothing(self, desk: Desk) -> None:
        before = self.past(desk)
        desk.faults.add(self.SPLIT)
        done = desk.collect(DAYS, [SESSION])
        rows = done.revisions
        assert set(rows["kind"]) == {"rescaled"}
        assert set(zip(rows["found_in"], rows["is_explained"], strict=True)) == {("overlap", False)}
        assert list(rows["session"]) == [day.isoformat() for day in self.DAYS[-6:-1]]
        assert rows["factor"].to_numpy() == pytest.approx(0.25, abs=1e-3)
        assert "no known split explains" in done.failures["IBM"]
        pd.testing.assert_frame_equal(self.past(desk), before)
        pd.testing.assert_frame_equal(desk.stored(DAYS, [SESSION]), desk.full(DAYS, [SESSION]))

    def test_asking_again_does_not_replace_the_past_either(self, desk: Desk) -> None:
        before = self.past(desk)
        desk.faults.add(self.SPLIT)
        done = desk.collect(DAYS, self.DAYS[:-1], refetch={"IBM"})
        assert len(done.revisions) == len(self.DAYS) - 1
        pd.testing.assert_frame_equal(self.past(desk), before)

    def test_a_known_split_explains_it(self, desk: Desk) -> None:
        desk.faults.add(self.SPLIT)
        done = desk.collect(DAYS, [SESSION], splits=self.KNOWN)
        assert done.revisions["is_explained"].all()
        assert done.failures == {}

    def test_a_hole_in_the_past_is_left_until_the_split_is_known_and_then_filled_as_traded(self, desk: Desk) -> None:
        hole = self.DAYS[3]
        before = self.past(desk)
        kept = desk.store(DAYS).bars([hole.isoformat()])
        desk.lake.write_sessions(desk.store(DAYS).raw, kept[kept["symbol"] != "IBM"], [hole.isoformat()])
        desk.faults.add(self.SPLIT)
        done = desk.collect(DAYS, self.DAYS[:-1])
        assert "IBM" in done.failures
        assert set(desk.stored(DAYS, [hole])["symbol"]) == {"AAPL"}
        desk.collect(DAYS, self.DAYS[:-1], splits=self.KNOWN)
        after = self.past(desk)
        values = ["open", "high", "low", "close", "volume"]
        pd.testing.assert_frame_equal(after[values], before[values])
        assert "before the split" in after.query(f"symbol == 'IBM' and session == '{hole}'")["source"].iloc[0]

    def test_a_correction_of_one_day_is_no_change_of_scale(self, desk: Desk) -> None:
        day = self.DAYS[3]
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        desk.faults.add(RewriteHistory("IBM", price_factor=1.1, start=start, end=start + timedelta(days=1)))
        done = desk.collect(DAYS, self.DAYS[:-1], refetch={"IBM"})
        assert list(done.revisions["kind"]) == ["revised"]
        pd.testing.assert_frame_equal(self.past(desk), desk.full(DAYS, self.DAYS[:-1]))

    def test_a_person_may_take_the_new_scale(self, desk: Desk) -> None:
        desk.faults.add(self.SPLIT)
        desk.collect(DAYS, self.DAYS[:-1], refetch={"IBM"}, accepted={"IBM"})
        pd.testing.assert_frame_equal(self.past(desk), desk.full(DAYS, self.DAYS[:-1]))
