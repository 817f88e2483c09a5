"""An answer against what is stored: corrections, scales, and which bar stays."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.market_data.rewrites import (
    VALUES,
    as_traded_again,
    describe,
    find_rewrites,
    is_explained,
    merge_bars,
    scale_beside,
    split_product,
)

LIMITS = {"IBM": 1e-4, "AAPL": 1e-4}
SESSIONS = [f"2013-02-{day}" for day in (19, 20, 21, 22, 25)]
RECEIVED = datetime(2013, 2, 25, 22, tzinfo=timezone.utc)
LATER = RECEIVED + timedelta(hours=1)
VOLUME = 1000.0


def bars(
    prices: dict[str, float], symbol: str = "IBM", received: datetime = RECEIVED, is_final: bool = True
) -> pd.DataFrame:
    """One daily bar per session, its prices some percent apart."""
    rows = [
        [symbol, day, pd.Timestamp(day, tz="UTC"), price, price * 1.02, price * 0.97, price * 1.01, VOLUME]
        for day, price in prices.items()
    ]
    frame = pd.DataFrame(rows, columns=["symbol", "session", "ts_utc", *VALUES])
    frame["ts_utc"] = frame["ts_utc"].astype("datetime64[ns, UTC]")
    return frame.assign(is_final=is_final, source="broker", received_at_utc=pd.Timestamp(received).as_unit("ns"))


STORED = bars({day: 100.0 + place for place, day in enumerate(SESSIONS)})


def rounded(frame: pd.DataFrame, factor: float, sessions: list[str]) -> pd.DataFrame:
    """The frame with the sessions' prices on another scale, rounded to cents as vendors do."""
    out = frame.copy()
    for name in ("open", "high", "low", "close"):
        out[name] = np.where(out["session"].isin(sessions), (out[name] * factor).round(2), out[name])
    return out


def test_the_same_answer_says_nothing_new() -> None:
    found = find_rewrites(STORED, STORED, LIMITS, as_traded=SESSIONS)
    assert found.rows.empty
    assert set(found.factors.values()) == {1.0}
    assert find_rewrites(STORED.iloc[:0], STORED, LIMITS, as_traded=SESSIONS).rows.empty


def test_other_values_a_bar_less_and_a_bar_more_are_told_apart() -> None:
    minutes = pd.concat([STORED.assign(session="s", ts_utc=STORED["ts_utc"] + pd.Timedelta(minutes=1))])
    new = minutes.copy()
    new.loc[1, "volume"] = 2.0
    found = find_rewrites(minutes[1:], new[:-1], LIMITS, as_traded=["s"], complete={("IBM", "s")})
    assert list(found.rows["kind"]) == ["appeared", "revised", "vanished"]
    assert [describe(row) for row in found.rows.to_dict("records")] == [
        "a bar that was not there (close 101)",
        "volume 1000 → 2",
        "the source has this bar no longer (close 105.04)",
    ]
    unknown = find_rewrites(minutes[1:], new[:-1], LIMITS, as_traded=["s"])
    assert "appeared" not in set(unknown.rows["kind"])


def test_an_answer_without_a_session_says_nothing_of_it() -> None:
    assert find_rewrites(STORED, STORED[:2], LIMITS, as_traded=SESSIONS).rows.empty


def test_unfinished_bars_are_not_compared() -> None:
    assert find_rewrites(STORED, bars({SESSIONS[0]: 7.0}, is_final=False), LIMITS, as_traded=SESSIONS).rows.empty


@given(
    ratio=st.sampled_from([1.5, 2.0, 3.0, 4.0, 7.0, 20.0, 0.5, 0.1]),
    prices=st.lists(st.floats(20, 900), min_size=5, max_size=5),
    ex=st.integers(1, 5),
)
def test_a_split_is_one_factor_up_to_its_ex_session_whatever_the_prices(
    ratio: float, prices: list[float], ex: int
) -> None:
    stored = rounded(bars(dict(zip(SESSIONS, prices, strict=True))), 1.0, SESSIONS)
    found = find_rewrites(stored, rounded(stored, 1 / ratio, SESSIONS[:ex]), LIMITS, as_traded=SESSIONS)
    assert found.rescaled == {("IBM", day) for day in SESSIONS[:ex]}
    assert all(is_explained(found.factors["IBM", day], ratio) for day in SESSIONS[:ex])
    assert set(found.rows["kind"]) == {"rescaled"}
    assert len(found.rows) == ex


@pytest.mark.parametrize("place", [1, 2, 4])
def test_a_factor_in_the_midst_is_a_correction(place: int) -> None:
    found = find_rewrites(STORED, rounded(STORED, 0.5, [SESSIONS[place]]), LIMITS, as_traded=SESSIONS)
    assert list(found.rows["kind"]) == ["revised"]
    assert found.rescaled == frozenset()


def test_the_newest_session_is_never_on_another_scale() -> None:
    found = find_rewrites(STORED, rounded(STORED, 0.5, SESSIONS), LIMITS, as_traded=SESSIONS[:-1])
    assert found.rescaled == {("IBM", day) for day in SESSIONS[:-1]}
    assert list(found.rows["kind"]) == [*["rescaled"] * 4, "revised"]


def test_a_cent_in_all_prices_is_a_correction() -> None:
    new = STORED.copy()
    new[["open", "high", "low", "close"]] += 0.01
    limits = {"IBM": 0.0}
    assert set(find_rewrites(STORED, new, limits, as_traded=SESSIONS).rows["kind"]) == {"revised"}


def test_known_splits_after_a_session_count() -> None:
    splits = {"IBM": {"2013-02-20": 2.0, "2013-02-22": 3.0, "2013-03-01": 5.0}}
    products = [split_product(splits, "IBM", day, SESSIONS[-1]) for day in SESSIONS]
    assert products == [6.0, 3.0, 3.0, 1.0, 1.0]
    assert split_product(splits, "AAPL", SESSIONS[0], SESSIONS[-1]) == 1.0


def test_the_scale_of_a_hole_is_that_of_the_session_before_it_or_else_after() -> None:
    factors = {("IBM", SESSIONS[1]): 0.5, ("IBM", SESSIONS[3]): 1.0}
    assert scale_beside(factors, "IBM", SESSIONS[2]) == (SESSIONS[1], 0.5)
    assert scale_beside(factors, "IBM", SESSIONS[0]) == (SESSIONS[1], 0.5)
    assert scale_beside(factors, "AAPL", SESSIONS[2]) is None


def test_bars_as_traded_again_have_the_value_they_had() -> None:
    back = as_traded_again(STORED.assign(close=STORED["close"] / 4, volume=4 * VOLUME), 4.0)
    assert back["close"].to_numpy() == pytest.approx(STORED["close"].to_numpy())
    assert set(back["volume"]) == {VOLUME}
    assert set(back["source"]) == {"broker (prices x 4, as before the split)"}


class TestMerging:
    def test_a_session_is_replaced_and_another_symbols_bars_stay(self) -> None:
        stored = pd.concat([STORED, bars({SESSIONS[0]: 50.0}, "AAPL")], ignore_index=True)
        fetched = bars({SESSIONS[0]: 7.0}, received=LATER)
        merged = merge_bars(stored, fetched, {}, kept=(), now=LATER)
        assert merged.groupby("symbol").size().to_dict() == {"AAPL": 1, "IBM": 5}
        assert merged.query(f"symbol == 'IBM' and session == '{SESSIONS[0]}'")["open"].tolist() == [7.0]

    def test_a_kept_session_keeps_what_is_stored(self) -> None:
        fetched = bars({SESSIONS[0]: 7.0, SESSIONS[1]: 7.0}, received=LATER)
        merged = merge_bars(STORED, fetched, {}, kept={("IBM", SESSIONS[0])}, now=LATER)
        assert merged.sort_values("session")["open"].tolist() == [100.0, 7.0, 102.0, 103.0, 104.0]

    def test_unfinished_bars_of_earlier_answers_go_and_newer_ones_stay(self) -> None:
        stored = pd.concat([STORED[:1], bars({SESSIONS[1]: 9.0}, is_final=False)], ignore_index=True)
        nothing = STORED.iloc[:0]
        assert len(merge_bars(stored, nothing, {}, kept=(), now=LATER)) == 1
        assert len(merge_bars(stored, nothing, {}, kept=(), now=RECEIVED - timedelta(minutes=1))) == 2

    def test_bars_before_since_stay(self) -> None:
        stored = STORED.assign(session="s")
        begin = stored["ts_utc"].iloc[3].to_pydatetime()
        fetched = bars({SESSIONS[4]: 7.0}, received=LATER).assign(session="s")
        merged = merge_bars(stored, fetched, {"IBM": begin}, kept=(), now=LATER)
        assert merged["open"].tolist() == [100.0, 101.0, 102.0, 7.0]

    def test_doubles_of_an_answer_stay_for_validation_to_judge(self) -> None:
        twice = bars({SESSIONS[0]: 7.0}, received=LATER)
        merged = merge_bars(STORED, pd.concat([twice, twice]), {}, kept=(), now=LATER)
        assert len(merged) == 6

    @given(data=st.data())
    def test_runs_that_overlap_end_the_same_in_whichever_order_they_write(self, data: st.DataObject) -> None:
        """Answers of whole sessions, each at its own time."""
        answers = []
        for minute in range(data.draw(st.integers(2, 4))):
            days = data.draw(st.lists(st.sampled_from(SESSIONS), min_size=5, max_size=5, unique=True))
            now = LATER + timedelta(minutes=minute)
            answers.append((now, bars(dict.fromkeys(days, 10.0 + minute), received=now)))

        def written(order: list[int]) -> pd.DataFrame:
            stored = STORED
            for place in order:
                now, answer = answers[place]
                stored = merge_bars(stored, answer, {}, kept=(), now=now)
            return stored.sort_values(["symbol", "ts_utc"], ignore_index=True)

        order = data.draw(st.permutations(range(len(answers))))
        pd.testing.assert_frame_equal(written(list(order)), written(list(range(len(answers)))))
