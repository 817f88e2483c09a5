"""How many of the known defects of real market data are found, and how many clean rows are convicted.

Reads ``../shared/data`` and its ``known_defects.csv``. A defect is found if the validation lists its bar with one of
the reasons that fit its kind, or counts its bar as missing; a clean row is one that ``known_defects.csv`` does not
name. Then faults are put into real bars that nobody looked at when thresholds were chosen: the daily bars of
``bokeh_sampledata``, which need no ``../shared/data``.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
from common import show

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.bars import session_labels
from trading_platform.domain.market_data.validation import QualityRules, Validation, missing_bars, validate_bars
from trading_platform.domain.signals.spec import BarSize
from trading_platform.specs.loader import load_data_quality

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
AS_OF = datetime(2024, 1, 2, tzinfo=timezone.utc)
STRUCTURE = {"high_below_low", "high_below_open_or_close", "low_above_open_or_close"}
EXTENDED = {"extended_before_minutes": 330, "extended_after_minutes": 240}
"""US pre-market from 4:00, after-hours until 20:00 in New York."""


@dataclass(frozen=True)
class Dataset:
    """One file: size and calendar of its bars, what its feed would be configured with.

    ``is_seen``: its defects were looked at one by one when thresholds were chosen; of the others only the largest
    ranges, gaps and wicks were.
    """

    path: str
    bar_size: BarSize
    calendar: str
    is_seen: bool
    changes: dict[str, object] = field(default_factory=dict)
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = lambda bars: bars
    has_splits: bool = False


def to_starts(bars: pd.DataFrame) -> pd.DataFrame:
    """Extended hours hide that bars are stamped with their ends; the data's README says so, and so would the feed."""
    return bars.assign(ts_utc=bars["ts_utc"] - timedelta(minutes=1))


def by_venue(bars: pd.DataFrame) -> pd.DataFrame:
    """The same pair on two venues is two series."""
    return bars.assign(symbol=bars["symbol"] + "@" + bars["venue"])


DATASETS = (
    Dataset("daily_us_equities/sp500_2013_2018_kaggle.parquet", "1 day", "XNYS", is_seen=True),
    Dataset("daily_us_equities/lean_raw_1998_2021.parquet", "1 day", "XNYS", is_seen=True, has_splits=True),
    Dataset("minute_us_equities/alphavantage_1min_2019.parquet", "1 min", "XNYS", is_seen=False),
    Dataset(
        "minute_us_equities/lean_1min_trades_2008_2023.parquet",
        "1 min",
        "XNYS",
        is_seen=False,
        changes=EXTENDED,
        has_splits=True,
    ),
    Dataset(
        "minute_us_equities/ninjatrader_spy_1min_2011.parquet",
        "1 min",
        "XNYS",
        is_seen=False,
        changes=EXTENDED,
        prepare=to_starts,
    ),
    Dataset("minute_us_equities/spy_1min_2020_12.parquet", "1 min", "XNYS", is_seen=False),
    Dataset("crypto_hourly_daily/coinbase_btcusd_1h_2017_2019.parquet", "1 hour", "24/7", is_seen=False),
    Dataset("crypto_minute/lean_coinbase_binance_1m_days.parquet", "1 min", "24/7", is_seen=False, prepare=by_venue),
)

FITTING: dict[str, set[str]] = {
    "null_ohlcv": {"missing_price", "missing_volume"},
    "high_lt_low": STRUCTURE,
    "high_lt_open_or_close": STRUCTURE,
    "low_gt_open_or_close": STRUCTURE,
    "extreme_wick": {"bad_print"},
    "one_bar_spike_reverts": {"isolated_bar", *STRUCTURE},
    "split_day_mixed_scale": {"split_day_mixture"},
    "zero_volume": {"zero_volume", "missing_price"},
}
"""Kind of defect and the reasons that fit it. ``zero_volume`` rows without prices are convicted of these first."""
NEAR: dict[str, set[str]] = {
    "ticker_reuse": {"long_gap"},
    "ticker_rename_gap": {"long_gap"},
    "class_split": {"split_like_jump", "unexplained_jump"},
}
"""Defects of a whole series: found if its break is listed. ``class_split`` within ten days, the others anywhere."""


@dataclass
class Outcome:
    """What validation made of one file."""

    dataset: Dataset
    rows: int
    clean: int
    wrongly: pd.DataFrame
    found: Counter[str]
    known: Counter[str]
    missed: list[str]
    judged: Validation
    missing: int

    @property
    def share(self) -> float:
        """Part of the clean rows that are quarantined."""
        return len(self.wrongly) / self.clean


def load(dataset: Dataset) -> pd.DataFrame:
    """The file as raw bars."""
    bars = pd.read_parquet(DATA / dataset.path).rename(columns={"ts": "ts_utc"})
    bars["ts_utc"] = bars["ts_utc"].dt.as_unit("ns")
    bars["volume"] = bars["volume"].astype(float)
    bars = dataset.prepare(bars)
    return bars.assign(session=session_labels(bars["ts_utc"], dataset.bar_size, get_calendar(dataset.calendar)))


def known_splits() -> dict[str, dict[str, float]]:
    """Splits by symbol and ex-date, as the corporate-actions asset would know them."""
    table = pd.read_parquet(DATA / "corporate_actions" / "splits_lean.parquet")
    splits: dict[str, dict[str, float]] = {}
    for symbol, stamp, ratio in table.loc[table["kind"] == "split", ["symbol", "ts", "ratio"]].itertuples(index=False):
        splits.setdefault(symbol, {})[stamp.strftime("%Y-%m-%d")] = float(ratio)
    return splits


def evaluate(dataset: Dataset) -> Outcome:
    """Validate one file and hold the outcome against what is known of it."""
    bars, calendar = load(dataset), get_calendar(dataset.calendar)
    rules = (
        load_data_quality()
        .rules_for(dataset.bar_size, security_type="CRYPTO" if dataset.calendar == "24/7" else "STK")
        .with_changes(QualityRules.model_validate(dataset.changes))
    )
    judged = validate_bars(
        bars,
        bar_size=dataset.bar_size,
        calendar=calendar,
        as_of=AS_OF,
        rules=rules,
        splits=known_splits() if dataset.has_splits else None,
    )
    assert len(judged.valid) + len(judged.quarantined) + judged.removed == len(bars)
    defects = pd.read_csv(DATA / "known_defects.csv", parse_dates=["ts"])
    defects = defects[defects["dataset"] == dataset.path]
    missing = missing_sessions(bars, dataset)
    listed = judged.log.groupby(["symbol", "ts_utc"])["reason"].agg(set).to_dict() if len(judged.log) else {}
    known, found, missed = Counter(defects["defect"]), Counter[str](), []
    for symbol, stamp, kind in defects[["symbol", "ts", "defect"]].itertuples(index=False):
        if kind == "missing_session":
            is_found = (symbol, stamp.strftime("%Y-%m-%d")) in missing
        elif kind in NEAR:
            hits = judged.log[(judged.log["symbol"] == symbol) & judged.log["reason"].isin(NEAR[kind])]
            near = hits["ts_utc"].between(stamp - timedelta(days=10), stamp + timedelta(days=10))
            is_found = bool(near.any() if kind == "class_split" else len(hits))
        else:
            is_found = bool(listed.get((symbol, stamp), set()) & FITTING[kind])
        found[kind] += is_found
        if not is_found:
            missed.append(f"{kind}: {symbol} {stamp:%Y-%m-%d %H:%M}")
    bad = set(zip(defects["symbol"], defects["ts"], strict=True))
    is_clean = [
        pair not in bad for pair in zip(judged.quarantined["symbol"], judged.quarantined["ts_utc"], strict=True)
    ]
    clean = len(bars) - len(
        {pair for pair in bad if pair[1] is not pd.NaT} & set(zip(bars["symbol"], bars["ts_utc"], strict=True))
    )
    return Outcome(
        dataset,
        len(bars),
        clean,
        judged.quarantined[np.array(is_clean, dtype=bool)],
        found,
        known,
        missed,
        judged,
        len(missing),
    )


def missing_sessions(bars: pd.DataFrame, dataset: Dataset) -> set[tuple[str, str]]:
    """Symbol and session of daily bars that are not there, between the symbol's first and last bar."""
    if dataset.bar_size != "1 day":
        return set()
    calendar = get_calendar(dataset.calendar)
    found: set[tuple[str, str]] = set()
    for symbol, own in bars.groupby("symbol"):
        sessions = calendar.sessions(own["ts_utc"].min().date(), own["ts_utc"].max().date())
        lacking = missing_bars(
            own, symbols=[str(symbol)], sessions=sessions, bar_size="1 day", calendar=calendar, as_of=AS_OF
        )
        found |= set(zip(lacking["symbol"], lacking["session"], strict=True))
    return found


Fault = Callable[[pd.DataFrame, list[int]], pd.DataFrame]
PRICES = ["open", "high", "low", "close"]
INJECTED = 200
"""Faults of each kind."""


def times(columns: list[str], factor: float) -> Fault:
    """Multiply some columns of some rows."""

    def spoil(bars: pd.DataFrame, rows: list[int]) -> pd.DataFrame:
        bars.loc[rows, columns] *= factor
        return bars

    return spoil


def doubled(factor: float) -> Fault:
    """Send some rows twice, the second time with another volume."""

    def spoil(bars: pd.DataFrame, rows: list[int]) -> pd.DataFrame:
        again = bars.loc[rows]
        return pd.concat([bars, again.assign(volume=again["volume"] * factor)], ignore_index=True)

    return spoil


def repeated(bars: pd.DataFrame, rows: list[int]) -> pd.DataFrame:
    """Give some rows the values of the row before."""
    for row in rows:
        bars.loc[row, [*PRICES, "volume"]] = bars.loc[row - 1, [*PRICES, "volume"]]
    return bars


def stamped_at_close(bars: pd.DataFrame, rows: list[int]) -> pd.DataFrame:
    """Stamp some daily bars with their session's close."""
    calendar = get_calendar("XNYS")
    for row in rows:
        bars.loc[row, "ts_utc"] = pd.Timestamp(calendar.close_of(bars.loc[row, "ts_utc"].date()))
    return bars


FAULTS: dict[str, tuple[Fault, set[str]]] = {
    "all prices × 100 (one bar)": (times(PRICES, 100), {"scale_error", "isolated_bar"}),
    "all prices ÷ 10 (one bar)": (times(PRICES, 0.1), {"scale_error", "isolated_bar"}),
    "all prices halved (one bar)": (times(PRICES, 0.5), {"isolated_bar"}),
    "all prices + 20 % (one bar)": (times(PRICES, 1.2), {"isolated_bar"}),
    "close halved": (times(["close"], 0.5), {"low_above_open_or_close"}),
    "low ÷ 3": (times(["low"], 1 / 3), {"bad_print"}),
    "high × 1.8": (times(["high"], 1.8), {"bad_print"}),
    "high × 1.3": (times(["high"], 1.3), {"bad_print"}),
    "close null": (times(["close"], float("nan")), {"missing_price"}),
    "low negative": (times(["low"], -1), {"non_positive_price"}),
    "volume zero": (times(["volume"], 0), {"zero_volume"}),
    "row twice": (doubled(1), {"exact_duplicate"}),
    "row twice, volumes differ": (doubled(1.5), {"conflicting_duplicate"}),
    "row repeats the one before": (repeated, {"stale_repeat"}),
    "stamped with the close": (stamped_at_close, {"daily_stamp"}),
}
"""Kind of fault, how it is made, and the reasons that fit it."""


def untouched_bars() -> pd.DataFrame:
    """Real daily bars that no threshold was chosen by: five stocks, 2000 to 2013, as traded."""
    import bokeh_sampledata

    raw = pd.read_csv(Path(bokeh_sampledata.__file__).parent / "_data" / "stocks.csv.gz")
    raw.columns = [column.lower() for column in raw.columns]
    bars = raw.rename(columns={"ticker": "symbol", "date": "session"})
    bars["ts_utc"] = pd.to_datetime(bars["session"], utc=True).dt.as_unit("ns")
    return bars.astype({"volume": float}).sort_values(["symbol", "ts_utc"], ignore_index=True)


def inject(kind: str, seed: int = 1) -> tuple[int, int, int]:
    """Put one kind of fault into bars of their own; returns faults found, faults, and other bars quarantined.

    Faults are at least five bars apart and not at a symbol's ends.
    """
    spoil, fitting = FAULTS[kind]
    bars = untouched_bars()
    inner = bars.groupby("symbol")["ts_utc"].rank().between(6, 1000)
    rng = np.random.default_rng(seed)
    rows = sorted(rng.choice(bars.index[inner][::6], INJECTED, replace=False).tolist())
    keys = set(zip(bars.loc[rows, "symbol"], bars.loc[rows, "session"], strict=True))
    judged = validate_bars(
        spoil(bars, rows), bar_size="1 day", calendar=get_calendar("XNYS"), as_of=AS_OF, rules=load_data_quality().daily
    )
    log = judged.log
    hits = log[log["reason"].isin(fitting)]
    found = keys & set(zip(hits["symbol"], hits["session"], strict=True))
    out = judged.quarantined
    others = set(zip(out["symbol"], out["session"], strict=True)) - keys
    return len(found), len(rows), len(others)


def main() -> None:
    """Evaluate all files, then the injected faults, and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--verbose", action="store_true", help="List what was missed and what was convicted wrongly.")
    arguments = parser.parse_args()
    injected = {kind: inject(kind) for kind in FAULTS}
    show(
        "Faults put into real daily bars (bokeh_sampledata, not looked at before)",
        {
            kind: f"{found} of {faults} ({found / faults:.3f}); other bars quarantined: {others}"
            for kind, (found, faults, others) in injected.items()
        },
        None,
        {},
    )
    if not DATA.exists():
        print("\n../shared/data is not here: known defects are not looked for")
        return
    outcomes = [evaluate(dataset) for dataset in DATASETS]
    known = sum((outcome.known for outcome in outcomes), Counter[str]())
    found = sum((outcome.found for outcome in outcomes), Counter[str]())
    kinds = {kind: f"{found[kind]} of {known[kind]} ({found[kind] / known[kind]:.3f})" for kind in sorted(known)}
    show("Known defects found", kinds, arguments.json, {"known": known, "found": found, "injected": injected})
    rows = {
        outcome.dataset.path + ("" if outcome.dataset.is_seen else " (tails seen)"): (
            f"{outcome.rows:,} rows; {len(outcome.wrongly)} clean ones quarantined ({100 * outcome.share:.4f} %); "
            f"held {len(outcome.judged.log[outcome.judged.log['action'] == 'held'])}, "
            f"warned {len(outcome.judged.log[outcome.judged.log['action'] == 'warned'])}, "
            f"repaired {len(outcome.judged.repaired)}"
        )
        for outcome in outcomes
    }
    total = sum(len(outcome.wrongly) for outcome in outcomes) / sum(outcome.clean for outcome in outcomes)
    show("Clean rows quarantined", {**rows, "all": f"{100 * total:.4f} %"}, None, {})
    if arguments.verbose:
        pd.set_option("display.width", 250, "display.max_colwidth", 150, "display.max_rows", 500)
        for outcome in outcomes:
            print(f"\n{outcome.dataset.path}: missed {outcome.missed[:20]}")
            print(outcome.judged.log["reason"].value_counts().to_string())
            print(outcome.wrongly[["symbol", "ts_utc", "reason", "detail"]].head(40).to_string())


if __name__ == "__main__":
    main()
