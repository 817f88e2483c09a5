"""Small drawings for Dagit: scales, axes and shapes as SVG text, and their packing into markdown.

Dagit shows an image only when it is a data URI in markdown, and knows no dark variant of it: all colours here
are middle tones that read on white and on near black. No plotting library is involved.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

UP = "#1fa187"
DOWN = "#e5534b"
LINE = "#3b82d6"
TEXT = "#7b8591"
GRID = "#8b949e"

LARGEST = 1e15
"""Beyond it floats no longer tell cents apart, and labels would not fit."""
_SMALLEST_SPREAD = 1e-12

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """A linear map from values ``low … high`` to pixels ``at_low … at_high``."""

    low: float
    high: float
    at_low: float
    at_high: float

    def __call__(self, value: float) -> float:
        """The pixel of ``value``."""
        return self.at_low + (value - self.low) / (self.high - self.low) * (self.at_high - self.at_low)

    @classmethod
    def around(cls, values: Iterable[float], at_low: float, at_high: float, margin: float = 0.05) -> Scale:
        """A scale that holds all of ``values`` (finite, at least one) with a margin; also when all are equal."""
        known = list(values)
        low, high = min(known), max(known)
        room = (high - low) * margin
        if high - low <= max(abs(low), abs(high), 1.0) * _SMALLEST_SPREAD:
            room = max(abs(high) * 0.01, 1e-3)
        return cls(low - room, high + room, at_low, at_high)

    def ticks(self, count: int) -> list[float]:
        """About ``count`` round values inside the scale: steps of 1, 2 or 5 times a power of ten."""
        raw = (self.high - self.low) / max(count, 1)
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
        first = math.ceil(self.low / step)
        return [i * step for i in range(first, math.floor(self.high / step) + 1)]


def is_number(value: float | None) -> bool:
    """Whether ``value`` can be drawn: finite, and of a size that prices and money have."""
    return value is not None and math.isfinite(value) and abs(value) < LARGEST


def px(value: float) -> str:
    """A coordinate to a tenth of a pixel, as short as it can be written."""
    return f"{value:.1f}".removesuffix(".0")


def number(value: float, spread: float | None = None) -> str:
    """A value with as many decimals as tell values within ``spread`` (default: the value itself) apart.

    Prices below 10,000 have at least two; values from ten million on are written in millions.
    """
    if abs(value) >= 1e7:
        return f"{number(value / 1e6, (spread or value) / 1e6)}M"
    scale = abs(spread or value)
    decimals = min(max(2 - math.ceil(math.log10(scale)), 0), 8) if scale else 2
    return f"{value:,.{max(decimals, 2) if abs(value) < 1e4 else decimals}f}"


def money(value: float) -> str:
    """A USD amount in three or four figures: ``$950``, ``$12.3k``, ``$4.56M``."""
    sign, size = ("-" if value < 0 else ""), abs(value)
    for limit, suffix in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            shown = size / (1e3 if suffix == "k" else limit)
            return f"{sign}${shown:.{2 if shown < 10 else 1 if shown < 100 else 0}f}{suffix}"
    return f"{sign}${size:,.0f}"


def text(
    x: float, y: float, content: str, *, anchor: str = "start", size: int = 11, fill: str = TEXT, bold: bool = False
) -> str:
    """Text with its baseline at ``y``; ``anchor`` is start, middle or end."""
    extra = (f' text-anchor="{anchor}"' if anchor != "start" else "") + (' font-weight="600"' if bold else "")
    return f'<text x="{px(x)}" y="{px(y)}" font-size="{size}" fill="{fill}"{extra}>{escape(content)}</text>'


def path(d: str, *, stroke: str = "none", width: float = 1, fill: str = "none", extra: str = "") -> str:
    """A path; nothing for an empty one."""
    if not d:
        return ""
    line = f' stroke="{stroke}" stroke-width="{px(width)}"' if stroke != "none" else ""
    return f'<path d="{d}" fill="{fill}"{line}{extra}/>'


def broken_line(points: Sequence[Point | None]) -> str:
    """A path through the points that is interrupted where one is missing; a lone point becomes a dash."""
    parts: list[str] = []
    for i, point in enumerate(points):
        if point is None:
            continue
        starts = i == 0 or points[i - 1] is None
        parts.append(f"{'M' if starts else 'L'}{px(point[0])} {px(point[1])}")
        if starts and (i + 1 == len(points) or points[i + 1] is None):
            parts.append("h1")
    return "".join(parts)


def y_axis(scale: Scale, left: float, right: float, labels: Iterable[tuple[float, str]], avoid: float | None) -> str:
    """Grid lines and labels at the right, as traders have them; labels too near to pixel ``avoid`` are left out."""
    drawn: list[str] = []
    grid: list[str] = []
    for value, label in labels:
        y = scale(value)
        grid.append(f"M{px(left)} {px(y)}H{px(right)}")
        if avoid is None or abs(y - avoid) > 13:
            drawn.append(text(right + 6, y + 4, label))
    return path("".join(grid), stroke=GRID, width=0.5, extra=' stroke-opacity=".3"') + "".join(drawn)


def tag(x: float, y: float, content: str, fill: str) -> str:
    """A filled label at the right axis: the last value."""
    width = 7 * len(content) + 8
    box = f'<rect x="{px(x)}" y="{px(y - 9)}" width="{width}" height="18" rx="3" fill="{fill}"/>'
    return box + text(x + width / 2, y + 4, content, anchor="middle", fill="#fff", bold=True)


def dot(x: float, y: float, fill: str) -> str:
    """A small filled circle."""
    return f'<circle cx="{px(x)}" cy="{px(y)}" r="3" fill="{fill}"/>'


def document(width: int, height: int, parts: Iterable[str]) -> str:
    """A whole SVG document."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="system-ui,Helvetica,Arial,sans-serif">{"".join(parts)}</svg>'
    )


def markdown_image(svg: str, alt: str) -> str:
    """The SVG as a data URI in markdown: what Dagit shows."""
    safe = "".join(" " if character in "[]\\\n\r" else character for character in alt)
    return f"![{safe}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
