"""What the benchmarks share: the machine they ran on, and how results are shown."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path


def machine() -> str:
    """Processor, cores, memory, Python."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def spread(samples: Sequence[float]) -> str:
    """Median with the lowest and the highest."""
    return f"{statistics.median(samples):.2f} ({min(samples):.2f} … {max(samples):.2f}, n={len(samples)})"


def show(title: str, rows: Mapping[str, str], json_file: Path | None, raw: Mapping[str, object]) -> None:
    """Print a Markdown table; write the raw numbers if asked."""
    print(f"\n{title}\n{machine()}\n\n| what | result |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": machine(), **raw}, indent=2, default=str))
