"""Validation divides raw bars into believed and quarantined ones, and loses none."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.bars import expected_bar_starts
from trading_platform.domain.market_data.quality import QualityRules
from trading_platform.domain.market_data.reasons import JUDGEMENTS
from trading_platform.domain.market_data.validation import REASONS, RULES, Validation, validate_bars
from trading_platform.domain.signals.spec import BarSize
from trading_platform.domain.tickers import TickerSpan
from trading_platform.schemas.base import validate
from trading_platform.schemas.market_data import QuarantinedBars, ValidatedBars
from trading_platform_tests.domain.bars import random_bars, real_daily_bars
from trading_platform_tests.domain.market_data.validation.builders import quiet_bars

UTC = timezone.utc
XNYS = get_calendar("XNYS")
AS_OF = datetime(2013, 2, 28, 20, 45, tzinfo=UTC)
GOOD = {"open": 10.0, "high": 11.5, "low": 9.5, "close": 11.0, "volume": 100.0}

STRUCTURE_ONLY = QualityRules(severities=dict.fromkeys(JUDGEMENTS, "ignore"))


def raw(*rows: dict[str, Any], session: str = "2013-02-28", ts: str = "2013-02-28T15:00Z") -> pd.DataFrame:
    """Raw bars of AAPL that are good except for what ``rows`` say."""
    common = {
        "symbol": "AAPL",
        "session": session,
        "ts_utc": ts,
        **GOOD,
        "is_final": True,
        "source": "test",
        "received_at_utc": "2013-02-28T20:45Z",
    }
    frame = pd.DataFrame([common | row for row in rows])
    for column in ("ts_utc", "received_at_utc"):
        frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601").dt.as_unit("ns")
    return frame


def outcome(frame: pd.DataFrame, bar_size: BarSize = "5 mins") -> Validation:
    return validate_bars(frame, bar_size=bar_size, calendar=XNYS, as_of=AS_OF)


@pytest.mark.parametrize(
    ("reason", "fault", "detail"),
    [
        ("missing_symbol", {"symbol": ""}, "close 11.0"),
        ("missing_timestamp", {"ts_utc": None}, "close 11.0"),
        ("missing_price", {"low": np.nan}, "low nan"),
        ("non_finite_price", {"high": np.inf}, "high inf"),
        ("non_positive_price", {"low": 0.0}, "low 0.0"),
        ("price_out_of_range", {"high": 1e9}, "high 1000000000.0"),
        ("high_below_low", {"high": 8.0}, "high 8.0, low 9.5"),
        ("high_below_open_or_close", {"high": 10.5}, "high 10.5"),
        ("low_above_open_or_close", {"low": 10.5}, "low 10.5"),
        ("missing_volume", {"volume": np.nan}, "volume nan"),
        ("non_finite_volume", {"volume": np.inf}, "volume inf"),
        ("negative_volume", {"volume": -1.0}, "volume -1.0"),
        ("volume_out_of_range", {"volume": 1e15}, "volume 1000000000000000.0"),
        ("not_a_session", {"session": "2013-03-02"}, "session 2013-03-02 of XNYS"),
        ("not_a_session", {"session": "2013-02-30"}, "session 2013-02-30 of XNYS"),
        ("outside_session", {"ts_utc": "2013-02-28T14:25Z"}, "2013-02-28T14:30:00+00:00 to 2013-02-28T21:00:00+00:00"),
        ("outside_session", {"session": "2010-03-01"}, "session 2010-03-01 is"),
        ("off_grid", {"ts_utc": "2013-02-28T15:02Z"}, "bar size 5 mins"),
        ("future_bar", {"ts_utc": "2013-02-28T20:50Z"}, "as of 2013-02-28T20:45:00+00:00"),
    ],
)
def test_a_fault_is_convicted_with_its_reason_and_numbers_and_its_neighbour_is_not(
    reason: str, fault: dict[str, Any], detail: str
) -> None:
    result = outcome(raw(fault, {"symbol": "IBM"}))
    assert result.quarantined["reason"].tolist() == [reason]
    assert detail in result.quarantined["detail"].iloc[0]
    assert result.valid["symbol"].tolist() == ["IBM"]
    assert result.reason_counts == {reason: 1}


FACEBOOK = {"FB": (TickerSpan("FB", date(2012, 5, 18), date(2022, 6, 8)), TickerSpan("META", date(2022, 6, 9)))}


def test_a_bar_from_before_its_instrument_was_listed_is_another_companys() -> None:
    days = ["2001-09-10", "2012-05-17", "2012-05-18", "2013-02-27"]
    rows = [
        {"symbol": name, "session": day, "ts_utc": f"{day}T00:00Z"} for name in ("AAPL", "FB", "ZZZ") for day in days
    ]
    frame = raw(*rows)
    judged = validate_bars(
        frame, bar_size="1 day", calendar=XNYS, as_of=AS_OF, rules=STRUCTURE_ONLY, listings=FACEBOOK | {"NONE": ()}
    )
    assert judged.quarantined[["symbol", "session", "reason"]].to_numpy().tolist() == [
        ["FB", "2001-09-10", "not_listed"],
        ["FB", "2012-05-17", "not_listed"],
    ]
    assert "FB was FB (2012-05-18 to 2022-06-08), META (2022-06-09 to now)" in judged.quarantined["detail"].iloc[0]
    assert judged.blocked_symbols == {"FB"}
    assert len(judged.valid) == 10


@pytest.mark.parametrize("symbol", ["AAAA", "FB", "ZZZZ"])
def test_only_the_instrument_itself_is_judged_by_its_listing(symbol: str) -> None:
    frame = raw({"symbol": symbol}, session="2001-09-10", ts="2001-09-10T15:00Z")
    judged = validate_bars(frame, bar_size="5 mins", calendar=XNYS, as_of=AS_OF, listings=FACEBOOK)
    assert list(judged.quarantined["reason"]) == (["not_listed"] if symbol == "FB" else [])


def test_every_reason_code_is_explained() -> None:
    assert set(REASONS) == {rule.code for rule in RULES}
    assert all(REASONS.values())


def test_exact_doubles_are_kept_once_and_recorded_and_the_final_one_is_kept() -> None:
    result = outcome(raw({"is_final": False}, {"is_final": True, "source": "other"}, {"is_final": False}))
    assert result.repaired["reason"].tolist() == ["exact_duplicate"] * 2
    assert result.removed == 2
    assert not result.blocked_symbols
    assert result.valid["source"].tolist() == ["other"]


def test_doubles_that_disagree_are_all_quarantined() -> None:
    result = outcome(raw({}, {"close": 11.5}, {}, {"symbol": "IBM"}))
    assert result.quarantined["reason"].tolist() == ["conflicting_duplicate"] * 3
    assert result.valid["symbol"].tolist() == ["IBM"]


def test_a_convicted_row_does_not_discredit_its_double() -> None:
    result = outcome(raw({"close": np.nan}, {}))
    assert result.quarantined["reason"].tolist() == ["missing_price"]
    assert result.valid["close"].tolist() == [11.0]


def test_unsorted_rows_are_sorted_and_none_is_punished_for_it() -> None:
    rows = [{"ts_utc": f"2013-02-28T15:{minute}Z", "symbol": symbol} for minute in (10, 5, 15) for symbol in ("B", "A")]
    result = outcome(raw(*rows))
    assert result.quarantined.empty
    assert result.valid[["symbol", "ts_utc"]].apply(tuple, axis=1).is_monotonic_increasing


def test_daily_bars_are_stamped_at_midnight_of_their_session_and_begin_at_its_open() -> None:
    today = {"session": "2013-02-28", "ts_utc": "2013-02-28T00:00Z"}
    wrong_stamp = {"session": "2013-02-27", "ts_utc": "2013-02-27T07:00Z"}
    tomorrow = {"session": "2013-03-01", "ts_utc": "2013-03-01T00:00Z"}
    result = outcome(raw(today, wrong_stamp, tomorrow), "1 day")
    assert result.valid["session"].tolist() == ["2013-02-28"]
    assert result.quarantined["reason"].tolist() == ["outside_session", "future_bar"]


def test_bars_after_the_close_of_a_half_day_are_outside_its_session() -> None:
    rows = raw({"ts_utc": "2012-11-23T17:55Z"}, {"ts_utc": "2012-11-23T18:00Z"}, session="2012-11-23")
    assert outcome(rows).quarantined["reason"].tolist() == ["outside_session"]


def test_markets_that_never_close_have_bars_on_any_day() -> None:
    frame = raw({}, session="2013-02-23", ts="2013-02-23T03:00Z")
    result = validate_bars(frame, bar_size="1 hour", calendar=get_calendar("24/7"), as_of=AS_OF)
    assert len(result.valid) == 1


def test_an_empty_frame_stays_empty_and_keeps_its_columns() -> None:
    result = outcome(raw({}).iloc[:0])
    assert result.valid.empty
    assert list(result.log.columns)[-5:] == ["bar_id", "reason", "detail", "action", "is_blocking"]


def test_a_frame_without_a_column_or_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="lack the column\\(s\\) volume"):
        outcome(raw({}).drop(columns="volume"))
    naive = raw({}).assign(ts_utc=pd.Timestamp("2013-02-28T15:00"))
    with pytest.raises(ValueError, match="tz-aware"):
        outcome(naive)


def test_both_frames_keep_their_contracts() -> None:
    result = outcome(raw({}, {"symbol": "IBM", "close": np.nan}, {"symbol": "FB", "volume": -1.0}))
    assert len(validate(ValidatedBars, result.valid)) == 1
    assert len(validate(QuarantinedBars, result.log)) == 2


GRID = [start for day in (date(2013, 2, 27), date(2013, 2, 28)) for start in expected_bar_starts(day, "1 hour", XNYS)]
STRAY = [datetime(2013, 2, 28, 14, 45, tzinfo=UTC), datetime(2013, 2, 28, 3, tzinfo=UTC), None]
PRICE = st.sampled_from([9.0, 10.0, 11.0, 12.0] * 4 + [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e9, 5e-324])
ROW = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["AAPL", "IBM"]),
        "session": st.sampled_from(["2013-02-27", "2013-02-28"] * 4 + ["2013-03-02", "2010-03-01", "nonsense"]),
        "ts_utc": st.sampled_from(GRID + STRAY),
        "open": PRICE,
        "high": PRICE,
        "low": PRICE,
        "close": PRICE,
        "volume": st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, np.nan, np.inf, 1e15]),
    }
)
BARELY_BAD = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["AAPL", "IBM"]),
        "session": st.just("2013-02-28"),
        "ts_utc": st.sampled_from(GRID[-7:]),
        **{name: st.just(value) for name, value in GOOD.items() if name != "volume"},
        "volume": st.sampled_from([1.0, 1.0, 1.0, 2.0]),
    }
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(ROW | BARELY_BAD, max_size=25))
def test_every_row_is_valid_or_quarantined_and_valid_rows_stay_valid(rows: list[dict[str, Any]]) -> None:
    frame = pd.DataFrame(rows, columns=["symbol", "session", "ts_utc", *GOOD]).assign(row=range(len(rows)))
    frame["ts_utc"] = pd.to_datetime(frame["ts_utc"], utc=True).dt.as_unit("ns")
    result = validate_bars(frame, bar_size="1 hour", calendar=XNYS, as_of=AS_OF)

    out = pd.concat([result.quarantined, result.repaired])
    assert sorted([*result.valid["row"], *out["row"]]) == list(range(len(rows)))
    assert len(result.repaired) == result.removed
    before = frame.set_index("row").sort_index()
    after = pd.concat([result.valid, out[frame.columns]]).set_index("row").sort_index()
    pd.testing.assert_frame_equal(after, before, check_dtype=False)
    assert set(result.log["reason"]) <= set(REASONS)

    assert not result.valid.duplicated(["symbol", "ts_utc"]).any()
    assert (result.valid["high"] >= result.valid[["open", "close", "low"]].max(axis=1)).all()
    # who was acquitted by a neighbour that is out now may be judged otherwise: what a bar is can't change
    again = validate_bars(result.valid, bar_size="1 hour", calendar=XNYS, as_of=AS_OF, rules=STRUCTURE_ONLY)
    assert again.log.empty
    pd.testing.assert_frame_equal(again.valid, result.valid)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(ROW | BARELY_BAD, max_size=15), seed=st.integers(0, 2**32 - 1))
def test_the_verdict_does_not_depend_on_the_order_of_the_rows(rows: list[dict[str, Any]], seed: int) -> None:
    frame = pd.DataFrame(rows, columns=["symbol", "session", "ts_utc", *GOOD])
    frame["ts_utc"] = pd.to_datetime(frame["ts_utc"], utc=True).dt.as_unit("ns")
    one, other = (
        validate_bars(each, bar_size="1 hour", calendar=XNYS, as_of=AS_OF)
        for each in (frame, frame.sample(frac=1, random_state=seed, ignore_index=True))
    )
    pd.testing.assert_frame_equal(one.valid, other.valid)
    assert one.reason_counts == other.reason_counts


def test_bars_that_keep_the_rules_are_all_valid() -> None:
    bars = random_bars(("A", "B"), 300, seed=1, bar_size="5 mins")
    result = validate_bars(bars, bar_size="5 mins", calendar=XNYS, as_of=AS_OF)
    pd.testing.assert_frame_equal(result.valid, bars)


def test_the_shipped_real_daily_bars_are_all_valid() -> None:
    result = validate_bars(real_daily_bars(), bar_size="1 day", calendar=XNYS, as_of=datetime(2013, 3, 4, tzinfo=UTC))
    assert len(result.valid) == len(real_daily_bars())
    assert result.quarantined.empty
    assert len(validate(ValidatedBars, result.valid.assign(**provenance()))) == len(result.valid)


def provenance() -> dict[str, object]:
    return {"is_final": True, "source": "bokeh", "received_at_utc": pd.Timestamp("2013-03-04", tz="UTC")}


FAULTS = st.lists(
    st.tuples(
        st.integers(0, 39),
        st.sampled_from(["open", "high", "low", "close", "all", "volume", "repeat"]),
        st.sampled_from([0.01, 0.5, 0.9, 1.1, 1.4, 2.0, 7.0, 100.0, np.nan]),
    ),
    max_size=6,
)


def spoilt(faults: list[tuple[int, str, float]]) -> pd.DataFrame:
    """Forty quiet bars of one running session with some faults."""
    bars = quiet_bars(40, "5 mins")
    for row, what, factor in faults:
        if what == "repeat" and row:
            bars.loc[row, [*GOOD]] = bars.loc[row - 1, [*GOOD]]
        elif what != "repeat":
            bars.loc[row, ["open", "high", "low", "close"] if what == "all" else what] *= factor
    return bars


@settings(max_examples=60, deadline=None)
@given(faults=FAULTS, known=st.integers(1, 39))
def test_what_is_said_of_a_bar_of_a_running_session_does_not_change_with_later_bars(
    faults: list[tuple[int, str, float]], known: int
) -> None:
    bars, running = spoilt(faults), datetime(2012, 6, 4, 19, 59, tzinfo=UTC)
    everything, so_far = (outcome_at(part, running) for part in (bars, bars.iloc[:known]))
    earlier = everything.log[everything.log["ts_utc"] < bars["ts_utc"][known]]
    pd.testing.assert_frame_equal(earlier.reset_index(drop=True), so_far.log)


@settings(max_examples=60, deadline=None)
@given(faults=FAULTS, doubles=st.lists(st.integers(0, 39), max_size=4), shift=st.sampled_from([0, 5, 60, 240]))
def test_rows_in_are_valid_rows_quarantined_rows_and_removed_doubles(
    faults: list[tuple[int, str, float]], doubles: list[int], shift: int
) -> None:
    bars = spoilt(faults)
    bars = pd.concat([bars, bars.iloc[doubles]], ignore_index=True)
    bars = bars.assign(row=range(len(bars)), ts_utc=bars["ts_utc"] + pd.Timedelta(minutes=shift))
    result = outcome_at(bars, datetime(2012, 6, 5, tzinfo=UTC))
    removed = result.repaired[result.repaired["reason"] == "exact_duplicate"]
    assert len(bars) == len(result.valid) + len(result.quarantined) + result.removed
    assert sorted([*result.valid["row"], *result.quarantined["row"], *removed["row"]]) == list(range(len(bars)))
    values = ["row", *GOOD]
    kept = bars[values].set_index("row").loc[result.valid["row"]].reset_index()
    pd.testing.assert_frame_equal(kept, result.valid[values])
    assert set(result.doubtful["row"]) <= set(result.valid["row"])
    moved = result.valid.loc[result.valid["ts_utc"].to_numpy() != bars["ts_utc"].to_numpy()[result.valid["row"]], "row"]
    assert set(moved) <= set(result.repaired["row"])


def outcome_at(bars: pd.DataFrame, as_of: datetime) -> Validation:
    return validate_bars(bars, bar_size="5 mins", calendar=XNYS, as_of=as_of)
