"""The lake as one feed's ingest sees it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from trading_platform.schemas.base import TableValidationError, empty
from trading_platform.schemas.market_data import RawBars, RevisedBars, UnansweredBars
from trading_platform.storage.bar_store import BarStore
from trading_platform.storage.lake import Lake

STAMP = pd.Timestamp("2013-02-28T21:00Z").as_unit("ns")


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return BarStore(Lake(str(tmp_path)), "daily")


def raw(session: str) -> pd.DataFrame:
    row = {"symbol": "IBM", "session": session, "ts_utc": pd.Timestamp(session, tz="UTC").as_unit("ns")}
    prices = dict.fromkeys(["open", "high", "low", "close", "volume"], 1.0)
    return pd.DataFrame([{**row, **prices, "is_final": True, "source": "broker", "received_at_utc": STAMP}])


def revision(minute: int, volume: float = 2.0) -> pd.DataFrame:
    values = {f"{side}_{name}": 1.0 for side in ("old", "new") for name in ("open", "high", "low", "close", "volume")}
    row = {
        "symbol": "IBM",
        "session": "2013-02-28",
        "ts_utc": pd.Timestamp("2013-02-28", tz="UTC").as_unit("ns"),
        "kind": "revised",
        "factor": float("nan"),
        "is_explained": False,
        **values,
        "new_volume": volume,
        "detail": "volume",
        "found_in": "tick",
        "old_received_at_utc": STAMP,
        "noticed_at_utc": STAMP + pd.Timedelta(minutes=minute),
    }
    return pd.DataFrame([row])


def test_what_was_written_in_pieces_is_told_as_one(store: BarStore) -> None:
    for session in ("2013-02-27", "2013-02-28"):
        store.write_bars(raw(session), [session])
    contents, written = store.contents(["2013-02-26", "2013-02-27", "2013-02-28"])
    assert list(contents["session"]) == ["2013-02-27", "2013-02-28"]
    assert (written.files, written.rows, written.changed) == (2, 2, 2)
    assert set(written.versions) == {"2013-02-27", "2013-02-28"}


def test_rows_that_are_no_bars_are_not_written(store: BarStore) -> None:
    with pytest.raises(TableValidationError):
        store.write_bars(raw("2013-02-28").assign(session="yesterday"), ["2013-02-28"])
    assert store.bars(["2013-02-28"]).empty


def test_an_empty_store_has_empty_tables(store: BarStore) -> None:
    for frame, model in (
        (store.bars(["2013-02-28"]), RawBars),
        (store.revisions(["2013-02-28"]), RevisedBars),
        (store.unanswered_bars(["2013-02-28"]), UnansweredBars),
    ):
        assert frame.empty
        assert frame.dtypes.to_dict() == empty(model).dtypes.to_dict()


def test_revisions_are_only_ever_added(store: BarStore) -> None:
    store.add_revisions(revision(0))
    store.add_revisions(revision(1, volume=3.0))
    store.add_revisions(revision(1, volume=3.0))
    assert list(store.revisions(["2013-02-27", "2013-02-28"])["new_volume"]) == [2.0, 3.0]


def test_what_is_unanswered_is_replaced_and_leaves_no_file_where_there_is_nothing(
    store: BarStore, tmp_path: Path
) -> None:
    nothing = empty(UnansweredBars)
    store.write_unanswered(nothing, [])
    assert list(tmp_path.rglob("*unanswered*")) == []
    row = {"symbol": "IBM", "session": "2013-02-28", "kind": "failed", "reason": "gone", "attempts": 2}
    store.write_unanswered(pd.DataFrame([{**row, "asked_at_utc": STAMP}]), ["2013-02-28"])
    assert list(store.unanswered_bars(["2013-02-28"])["attempts"]) == [2]
    store.write_unanswered(nothing, ["2013-02-28"])
    assert store.unanswered_bars(["2013-02-28"]).empty
