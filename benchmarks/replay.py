"""Ticks a second in replay and in the backtest: a year of daily sessions, a week of intraday ones."""

from __future__ import annotations

import argparse
import tempfile
from datetime import date
from pathlib import Path

from common import show

SCENES = {
    "momentum, 250 daily sessions of 2012": (("momentum",), date(2012, 1, 3), date(2012, 12, 31)),
    "tsla, 5 sessions, a tick each 5 minutes": (("tsla",), date(2013, 2, 25), date(2013, 3, 1)),
    "all four strategies in one account, 2 days": ((), date(2013, 2, 27), date(2013, 2, 28)),
}


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    from rich.console import Console

    from trading_platform.ops.backtest_command import backtest
    from trading_platform.ops.history_request import HistoryOptions, prepare
    from trading_platform.ops.local import export, make_home
    from trading_platform.ops.replay_command import fresh_ledger, replay
    from trading_platform.ops.run_command import quiet_libraries

    quiet_libraries()
    console = Console(quiet=True)
    rows: dict[str, str] = {}
    raw: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        make_home(export({"home": Path(name) / "home"}))
        for title, (strategies, first, last) in SCENES.items():
            request = prepare(HistoryOptions(first, last, strategies))
            with fresh_ledger(request.settings) as ledger_url:
                replayed = replay(request, ledger_url, console)
            tested = backtest(request, console)
            assert replayed.fills == tested.fills
            ratio = tested.ticks_per_second / replayed.ticks_per_second
            rows[title] = (
                f"{replayed.ticks} ticks, {len(replayed.orders)} orders: replay {replayed.ticks_per_second:.1f} "
                f"ticks/s, backtest {tested.ticks_per_second:.0f} ticks/s, {ratio:.0f} times"
            )
            raw[title] = {"replay": replayed.ticks_per_second, "backtest": tested.ticks_per_second}
    show("Replay and backtest", rows, arguments.json, raw)


if __name__ == "__main__":
    main()
