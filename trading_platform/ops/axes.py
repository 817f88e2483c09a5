"""What pictures over time share: their size, time axis, heading, and thinning to as many points as can be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TypeVar
from zoneinfo import ZoneInfo

from trading_platform.ops import svg
from trading_platform.ops.svg import GRID

WIDTH, LEFT, RIGHT, TOP = 760, 12, 686, 34
NO_DATA = "no data"
_T = TypeVar("_T")


def time_axis(stamps: Sequence[datetime], xs: Sequence[float], time_zone: str, *, top: float, bottom: float) -> str:
    """Labels below, at most seven; a thin line where a session begins when several intraday ones are shown."""
    is_daily = all(stamp.astimezone(timezone.utc).time() == datetime.min.time() for stamp in stamps)
    local = [stamp.astimezone(timezone.utc if is_daily else ZoneInfo(time_zone)) for stamp in stamps]
    days = [moment.date() for moment in local]
    first_of_day = [i for i in range(1, len(days)) if days[i] != days[i - 1]]
    span = days[-1] - days[0]
    form = "%Y-%m" if span.days > 700 else "%b %d" if span.days or is_daily else "%H:%M"
    separators = ""
    if span.days and not is_daily and len(first_of_day) <= 12:
        separators = "".join(f"M{svg.px((xs[i] + xs[i - 1]) / 2)} {top}V{bottom}" for i in first_of_day)
        at = [0, *first_of_day]
        form = "%b %d"
    else:
        at = list(range(len(local)))
    every = math.ceil(len(at) / 7)
    labels = [
        svg.text(min(max(xs[i], LEFT + 16), RIGHT - 10), bottom + 16, local[i].strftime(form), anchor="middle")
        for i in at[::every]
    ]
    zone = svg.text(
        WIDTH - 6,
        bottom + 16,
        "session" if is_daily else time_zone.rsplit("/", maxsplit=1)[-1].replace("_", " "),
        anchor="end",
        size=10,
    )
    return svg.path(separators, stroke=GRID, width=0.6, extra=' stroke-opacity=".45"') + "".join(labels) + zone


def heading(title: str, facts: str) -> str:
    """A title at the left and facts at the right, above the picture."""
    return svg.text(LEFT, 18, title, size=14, bold=True) + svg.text(WIDTH - 8, 18, facts, anchor="end", size=12)


def joined(*facts: str) -> str:
    """The facts there are, with dots between them."""
    return " · ".join(fact for fact in facts if fact)


def days_shown(first: datetime, last: datetime, time_zone: str) -> str:
    """The day or days that are shown, as dates of the axis."""
    is_midnight = first.astimezone(timezone.utc).time() == last.astimezone(timezone.utc).time() == datetime.min.time()
    zone = timezone.utc if is_midnight else ZoneInfo(time_zone)
    days = [moment.astimezone(zone).date().isoformat() for moment in (first, last)]
    return " … ".join(dict.fromkeys(days))


def change(first: float, last: float) -> str:
    """The change in percent; nothing where it says nothing: from zero, or ten thousand times as much."""
    return f"{(last / first - 1) * 100:+.2f} %" if first > 0 and last / first < 1e4 else ""


def thinned(values: list[_T], most: int) -> list[_T]:
    """At most ``most`` of the values, evenly spread, first and last kept."""
    if len(values) <= most:
        return values
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
