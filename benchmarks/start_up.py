"""How long until something happens: installation, `run` cold and warm, import of the definitions."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import show, spread

ROOT = Path(__file__).resolve().parents[1]
MOMENT = "2013-02-28T15:45:00-05:00"
HEAVY = ("pandas", "numpy", "pandera", "pyarrow", "mlflow", "ib_insync", "talib", "exchange_calendars", "sklearn")


def timed(command: list[str], env: dict[str, str], cwd: Path) -> float:
    """Seconds of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, env=env, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def imports(env: dict[str, str], cwd: Path, times: int) -> tuple[list[float], list[float], str]:
    """Seconds of `import dagster` and of importing the definitions, in turn, and the heavy modules the latter loads."""
    bare, ours = [], []
    for _ in range(times):
        bare.append(timed([sys.executable, "-c", "import dagster"], env, cwd))
        ours.append(timed([sys.executable, "-c", "from trading_platform.definitions import defs; defs()"], env, cwd))
    code = (
        "import sys; from trading_platform.definitions import defs; defs(); "
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, env=env, cwd=cwd, capture_output=True, text=True
    )
    return bare, ours, loaded.stdout.strip()


def install(directory: Path) -> tuple[float, float]:
    """Seconds and megabytes of an installation with the constraints file."""
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    start = time.perf_counter()
    pip = [str(directory / "bin" / "pip"), "install", "-q", "-c", str(ROOT / "constraints.txt"), "-e", str(ROOT)]
    subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    return seconds, size / 1e6


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--warm-runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: dict[str, str] = {}
    raw: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        env = {**os.environ, "TRADING_PLATFORM_HOME": str(work / "home")}
        command = [sys.executable, "-m", "trading_platform.cli", "run", "--as-of", MOMENT]
        raw["run_cold_s"] = cold = timed(command, env, work)
        raw["run_warm_s"] = warm = [timed(command, env, work) for _ in range(arguments.warm_runs)]
        bare, ours, loaded = imports(env, work, times=7)
        ratios = [a / b for a, b in zip(ours, bare, strict=True)]
        raw |= {"import_dagster_s": bare, "import_definitions_s": ours, "heavy_modules": loaded}
        rows |= {
            "`run`, cold (nothing set up), s": f"{cold:.1f}",
            "`run`, warm, s": spread(warm),
            "`import dagster`, s": spread(bare),
            "import of the definitions, s": spread(ours),
            "ratio, pair by pair": spread(ratios),
            "heavy modules loaded": loaded,
        }
        if arguments.install:
            seconds, megabytes = install(work / "venv")
            raw |= {"install_s": seconds, "install_mb": megabytes}
            rows["installation, s"] = f"{seconds:.0f}"
            rows["installed size, MB"] = f"{megabytes:.0f}"
    show("Start-up", rows, arguments.json, raw)


if __name__ == "__main__":
    main()
