"""A year of daily sessions, raw to features, as one ranged run in this process and recorded in PostgreSQL."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import date, datetime
from pathlib import Path

from common import show, spread


def measure(years: list[int]) -> dict[int, tuple[int, float]]:
    """Sessions and seconds of each year's ranged run."""
    import dagster as dg

    from trading_platform.definitions import build_definitions
    from trading_platform.defs.sensors import RANGE_END, RANGE_START
    from trading_platform.domain.calendars import get_calendar
    from trading_platform.ops.local import local_platform

    found = {}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with local_platform() as platform, dg.DagsterInstance.get() as instance:
        job = build_definitions(platform.settings).resolve_job_def("daily_bars")
        for year in years:
            sessions = get_calendar("XNYS").sessions(date(year, 1, 1), date(year, 12, 31))
            start = time.perf_counter()
            result = job.execute_in_process(
                instance=instance,
                tags={RANGE_START: sessions[0].isoformat(), RANGE_END: sessions[-1].isoformat()},
                run_config=quiet,
            )
            assert result.success
            found[year] = (len(sessions), time.perf_counter() - start)
    return found


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.inside:
        with tempfile.TemporaryDirectory() as name:
            command = [sys.executable, "-W", "ignore", __file__, "--inside"]
            command += ["--json", str(arguments.json.resolve())] if arguments.json else []
            subprocess.run(command, check=True, env={**os.environ, "TRADING_PLATFORM_HOME": str(Path(name) / "home")})
        return
    from trading_platform.ops.local import move_clock

    move_clock(datetime.fromisoformat("2013-02-28T15:45:00-05:00"))
    found = measure([2008, 2009, 2010, 2011, 2012])
    rows = {f"{year}: {sessions} sessions, s": f"{seconds:.2f}" for year, (sessions, seconds) in found.items()}
    rows["all years, s"] = spread([seconds for _, seconds in found.values()])
    show(
        "Backfill of a year (raw, validated, quarantined, features; five symbols)",
        rows,
        arguments.json,
        {"years": found},
    )


if __name__ == "__main__":
    main()
