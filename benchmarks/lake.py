"""The lake alone: writing ten years of 505 symbols, first, again, changed; reading a symbol's and a session's rows."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import show, spread
from whole_backfill import RAW, made_up_bars

SYMBOLS, YEARS = 505, 10


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    from trading_platform.storage.lake import Lake

    bars = made_up_bars(SYMBOLS, YEARS)
    sessions = sorted(bars["session"].unique())
    changed = bars.assign(close=bars["close"] * 1.001)
    found: dict[str, list[float]] = {}

    def measure(name: str, work: Callable[..., object], *values: object, **options: object) -> None:
        start = time.perf_counter()
        work(*values, **options)
        found.setdefault(name, []).append(time.perf_counter() - start)

    for _ in range(arguments.samples):
        for days, words in ((30, "versions kept"), (0, "none kept")):
            with tempfile.TemporaryDirectory() as directory:
                lake = Lake(directory, keep_days=days)
                measure(f"first write, {words}", lake.write_sessions, RAW, bars, sessions)
                measure(f"other content over it, {words}", lake.write_sessions, RAW, changed, sessions)
                if not days:
                    continue
                measure("the same content again", lake.write_sessions, RAW, changed, sessions)
                measure("read everything", lake.read_sessions, RAW, sessions)
                measure("read one symbol's ten years", lake.read_sessions, RAW, sessions, symbols=["S0100"])
                measure(
                    "read one symbol's ten years, two columns",
                    lake.read_sessions,
                    RAW,
                    sessions,
                    symbols=["S0100"],
                    columns=["session", "close"],
                )
                measure("read all symbols' one session", lake.read_sessions, RAW, sessions[-1:])
    rows = {f"{name}, ms": spread([1000 * one for one in samples]) for name, samples in found.items()}
    title = f"The lake: {SYMBOLS} symbols, {len(sessions):,} sessions, {len(bars):,} rows"
    show(title, rows, arguments.json, {"seconds": found})


if __name__ == "__main__":
    main()
