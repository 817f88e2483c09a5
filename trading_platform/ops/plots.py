"""Pictures for Dagit: a sparkline beside a number, candles with signals, an equity curve, exposure.

Each function returns markdown metadata with the picture as a data URI. The sparkline stays below 1,000
characters, which Dagit shows inline; the others below 20 kB, which it shows in a dialog. Values that are NaN
or infinite leave gaps; nothing to draw gives the words "no data".
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import dagster as dg

from trading_platform.ops import svg
from trading_platform.ops.axes import (
    LEFT,
    NO_DATA,
    RIGHT,
    TOP,
    WIDTH,
    change,
    days_shown,
    heading,
    joined,
    thinned,
    time_axis,
)
from trading_platform.ops.svg import DOWN, GRID, LINE, TEXT, UP, Scale

if TYPE_CHECKING:
    import pandas as pd

SPARKLINE_POINTS = 60
MAX_CANDLES = 180
MAX_CURVE_POINTS = 240
MAX_BARS = 20


@dataclass(frozen=True)
class Marker:
    """A decision or a fill to draw on candles. ``ts_utc`` is tz-aware; it is drawn at the bar that was running then.

    With a ``price`` a dash marks it.
    """

    ts_utc: datetime
    side: Literal["LONG", "SHORT", "FLAT", "BUY", "SELL"]
    price: float | None = None


def sparkline(values: Sequence[float], label: str = "") -> dg.MarkdownMetadataValue:
    """A small line with its last, lowest and highest value; at most 900 characters.

    Args:
        values: oldest first; long ones are thinned to 60 points that keep the last.
        label: read out where the picture can't be seen, at most 40 characters count.
    """
    known = [float(value) for value in values if svg.is_number(value)]
    if not known:
        return dg.MetadataValue.md(NO_DATA)
    thin = thinned(known if len(values) > SPARKLINE_POINTS else [float(value) for value in values], SPARKLINE_POINTS)
    low, high, last = min(known), max(known), known[-1]
    y = Scale.around(known, 26, 2, margin=0)
    step = 120 / max(len(thin) - 1, 1)
    parts: list[str] = []
    pen_up = True
    for i, value in enumerate(thin):
        if not svg.is_number(value):
            pen_up = True
            continue
        parts.append(f"{'M' if pen_up else ' '}{i * step:.0f} {y(value):.0f}")
        pen_up = False
    color = UP if last >= known[0] else DOWN
    newest = max(i for i, value in enumerate(thin) if svg.is_number(value))
    picture = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="180" height="42" viewBox="0 0 124 28">'
        f'<path d="{"".join(parts)}" fill="none" stroke="{color}"/>'
        f'<circle cx="{newest * step:.0f}" cy="{y(last):.0f}" r="2" fill="{color}"/></svg>'
    )
    spread = high - low
    words = f"{svg.number(last, spread)} ({svg.number(low, spread)} … {svg.number(high, spread)})"
    return dg.MetadataValue.md(f"{svg.markdown_image(picture, label[:40] or 'sparkline')} {words}")


def candles(
    bars: pd.DataFrame, markers: Sequence[Marker] = (), *, title: str = "", time_zone: str = "UTC"
) -> dg.MarkdownMetadataValue:
    """Candles with volume, and a triangle where the strategy decided.

    Args:
        bars: one symbol, oldest first: ``ts_utc`` (tz-aware), ``open, high, low, close`` and, if there is,
            ``volume``. More than 180 bars are merged into fewer candles, which keeps every high and low.
        markers: LONG and BUY point up from below, SHORT and SELL down from above, FLAT is a ring.
        title: e.g. "TSLA · 5 mins · synthetic path, seed 7".
        time_zone: of the axis labels; daily bars are labelled by their session.
    """
    drawn = _merge(_candles(bars), MAX_CANDLES)
    if not drawn:
        return dg.MetadataValue.md(NO_DATA)
    has_volume = any(candle.volume > 0 for candle in drawn)
    bottom = 296 if has_volume else 366
    y = Scale.around([v for candle in drawn for v in (candle.low, candle.high)], bottom, TOP, margin=0.08)
    pitch = (RIGHT - LEFT) / max(len(drawn), 12)
    xs = [LEFT + pitch * (i + 0.5) for i in range(len(drawn))]
    spread = y.high - y.low
    last = drawn[-1]
    color = UP if last.close >= last.open else DOWN
    traded = all(marker.side in ("BUY", "SELL") for marker in markers)
    legend = "" if not markers else "▲ bought ▼ sold" if traded else "▲ long ▼ short ○ flat"
    parts = [
        time_axis([candle.ts for candle in drawn], xs, time_zone, top=TOP, bottom=370),
        svg.y_axis(y, LEFT, RIGHT, [(v, svg.number(v, spread)) for v in y.ticks(6)], avoid=y(last.close)),
        *_candle_shapes(drawn, xs, y, pitch),
        *(_volume_shapes(drawn, xs, pitch) if has_volume else []),
        *_extremes(drawn, xs, y, spread),
        *_marker_shapes(drawn, xs, y, markers),
        _price_marks(drawn, xs, y, markers),
        svg.path(f"M{LEFT} {svg.px(y(last.close))}H{RIGHT}", stroke=color, width=0.8, extra=' stroke-dasharray="2 3"'),
        svg.tag(RIGHT + 3, y(last.close), svg.number(last.close, spread), color),
        heading(title, joined(legend, days_shown(drawn[0].ts, last.ts, time_zone), change(drawn[0].open, last.close))),
    ]
    alt = f"{title or 'candles'}: {len(drawn)} candles, last {svg.number(last.close, spread)}"
    return dg.MetadataValue.md(svg.markdown_image(svg.document(WIDTH, 392, parts), alt))


def equity_curve(
    points: Sequence[tuple[datetime, float]],
    *,
    growth: Sequence[float] | None = None,
    title: str = "Equity",
    time_zone: str = "UTC",
) -> dg.MarkdownMetadataValue:
    """Equity in USD over time, with its distance from the highest value so far below it.

    Args:
        points: (tz-aware instant, equity), oldest first; more than 240 are thinned.
        growth: time-weighted value of 1 USD at each point. With it drawdown and change are taken from it, so that
            deposits and withdrawals move the line and nothing else.
        title: shown above.
        time_zone: of the axis labels.
    """
    known = [value for _, value in points if svg.is_number(value)]
    if not known:
        return dg.MetadataValue.md(NO_DATA)
    worth = list(growth) if growth is not None else [value for _, value in points]
    if len(points) > MAX_CURVE_POINTS:  # a gap would be thinner than the line
        worth = [value for value, (_, equity) in zip(worth, points, strict=True) if svg.is_number(equity)]
        points = [point for point in points if svg.is_number(point[1])]
    thin = thinned(list(points), MAX_CURVE_POINTS)
    known_worth = [value for value in worth if svg.is_number(value)]
    y = Scale.around(known, 252, TOP + 4, margin=0.08)
    pitch = (RIGHT - LEFT) / max(len(thin) - 1, 1)
    xs = [LEFT + pitch * i for i in range(len(thin))] if len(thin) > 1 else [(LEFT + RIGHT) / 2]
    line = [(x, y(v)) if svg.is_number(v) else None for x, (_, v) in zip(xs, thin, strict=True)]
    spread, first, last = y.high - y.low, known[0], known[-1]
    color = UP if last >= first else DOWN
    dates = days_shown(thin[0][0], thin[-1][0], time_zone)
    start = svg.path(f"M{LEFT} {svg.px(y(first))}H{RIGHT}", stroke=GRID, width=0.8, extra=' stroke-dasharray="4 4"')
    parts = [
        time_axis([ts for ts, _ in thin], xs, time_zone, top=TOP, bottom=336),
        svg.y_axis(y, LEFT, RIGHT, [(v, svg.number(v, spread)) for v in y.ticks(5)], avoid=y(last)),
        start,
        _area(line, 252, LINE),
        svg.path(svg.broken_line(line), stroke=LINE, width=1.8, extra=' stroke-linejoin="round"'),
        *_drawdown_shapes(_drawdowns(worth), xs),
        svg.tag(RIGHT + 3, y(last), svg.number(last, spread), color),
        svg.dot(*[point for point in line if point is not None][-1], LINE),
        heading(
            title,
            joined(
                dates,
                change(known_worth[0], known_worth[-1]),
                f"low {svg.money(min(known))}",
                f"high {svg.money(max(known))}",
            ),
        ),
    ]
    alt = f"{title}: last {svg.number(last, spread)}, low {svg.money(min(known))}, high {svg.money(max(known))}"
    return dg.MetadataValue.md(svg.markdown_image(svg.document(WIDTH, 358, parts), alt))


def exposure_bars(
    by_symbol: Mapping[str, float], equity: float | None = None, *, title: str = "Exposure"
) -> dg.MarkdownMetadataValue:
    """Market value by symbol as bars, long to the right and short to the left.

    Args:
        by_symbol: signed values in USD; zeros and NaN are left out. The 20 largest are drawn, the rest is
            summed up in a line.
        equity: of the account, USD; with it the values are also shown as a share of it.
        title: shown above, with gross and net.
    """
    values = {symbol: float(value) for symbol, value in by_symbol.items() if svg.is_number(value) and value}
    if not values:
        return dg.MetadataValue.md("no exposure")
    ordered = sorted(values.items(), key=lambda item: (-abs(item[1]), item[0]))
    shown, rest = ordered[:MAX_BARS], ordered[MAX_BARS:]
    left, right = 96, 640
    reach = [0.0, *(value for _, value in shown)]
    x = Scale(min(reach), max(reach), left + (60 if min(reach) < 0 else 0), right)
    capital = equity if equity is not None and svg.is_number(equity) and equity >= 1 else None
    parts: list[str] = []
    for row, (symbol, value) in enumerate(shown):
        y = TOP + 8 + row * 22
        start, end = sorted((x(0), x(value)))
        color = UP if value > 0 else DOWN
        share = f" · {value / capital * 100:.1f} %" if capital else ""
        parts += [
            svg.text(left - 10, y + 12, symbol, anchor="end", bold=True),
            f'<rect x="{svg.px(start)}" y="{y}" width="{svg.px(max(end - start, 1))}" height="16" rx="2" '
            f'fill="{color}" fill-opacity=".85"/>',
            svg.text(end + 6, y + 12, svg.money(value) + share)
            if value > 0
            else svg.text(start - 6, y + 12, svg.money(value), anchor="end")
            + svg.text(x(0) + 6, y + 12, share.removeprefix(" · ")),
        ]
    bottom = TOP + 8 + len(shown) * 22
    parts.append(svg.path(f"M{svg.px(x(0))} {TOP + 2}V{bottom}", stroke=GRID))
    if rest:
        gross, net = sum(abs(value) for _, value in rest), sum(value for _, value in rest)
        parts.append(
            svg.text(left, bottom + 16, f"{len(rest)} smaller: gross {svg.money(gross)}, net {svg.money(net)}")
        )
    gross, net = sum(map(abs, values.values())), sum(values.values())
    facts = f"gross {svg.money(gross)} · net {svg.money(net)}"
    if capital:
        facts += f" · {gross / capital:.2f}× equity"
    parts.append(heading(title, facts))
    return dg.MetadataValue.md(
        svg.markdown_image(svg.document(WIDTH, bottom + (28 if rest else 10), parts), f"{title}: {facts}")
    )


@dataclass(frozen=True)
class _Candle:
    ts: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


def _candles(bars: pd.DataFrame) -> list[_Candle]:
    volumes = bars["volume"].tolist() if "volume" in bars else [0.0] * len(bars)
    columns = [bars[name].tolist() for name in ("ts_utc", "open", "high", "low", "close")]
    return [
        _Candle(ts, first, high, low, last, volume if svg.is_number(volume) else 0.0)
        for ts, first, high, low, last, volume in zip(*columns, volumes, strict=True)
        if all(svg.is_number(price) for price in (first, high, low, last))
    ]


def _merge(bars: list[_Candle], most: int) -> list[_Candle]:
    """As many neighbours become one candle as are needed to have ``most`` of them."""
    size = math.ceil(len(bars) / most) or 1
    groups = [bars[i : i + size] for i in range(0, len(bars), size)]
    return [
        _Candle(
            group[0].ts,
            group[0].open,
            max(bar.high for bar in group),
            min(bar.low for bar in group),
            group[-1].close,
            sum(bar.volume for bar in group),
        )
        for group in groups
    ]


def _candle_shapes(drawn: Sequence[_Candle], xs: Sequence[float], y: Scale, pitch: float) -> list[str]:
    wicks: dict[str, list[str]] = {UP: [], DOWN: []}
    bodies: dict[str, list[str]] = {UP: [], DOWN: []}
    for candle, x in zip(drawn, xs, strict=True):
        color = UP if candle.close >= candle.open else DOWN
        top, bottom = sorted((y(candle.open), y(candle.close)))
        wicks[color].append(f"M{svg.px(x)} {svg.px(y(candle.high))}V{svg.px(y(candle.low))}")
        bodies[color].append(f"M{svg.px(x)} {svg.px(top)}V{svg.px(max(bottom, top + 1))}")
    width = min(max(pitch * 0.66, 1), 14)
    return [
        svg.path("".join(shapes[color]), stroke=color, width=stroke)
        for shapes, stroke in ((wicks, 1.0), (bodies, width))
        for color in (UP, DOWN)
    ]


def _volume_shapes(drawn: Sequence[_Candle], xs: Sequence[float], pitch: float) -> list[str]:
    y = Scale(0, max(candle.volume for candle in drawn), 370, 312)
    shapes: dict[str, list[str]] = {UP: [], DOWN: []}
    for candle, x in zip(drawn, xs, strict=True):
        shapes[UP if candle.close >= candle.open else DOWN].append(f"M{svg.px(x)} 370V{svg.px(y(candle.volume))}")
    width = min(max(pitch * 0.66, 1), 14)
    bars = [
        svg.path("".join(shapes[color]), stroke=color, width=width, extra=' stroke-opacity=".4"') for color in shapes
    ]
    return [*bars, svg.text(RIGHT + 6, 320, "vol " + svg.money(y.high).replace("$", ""))]


def _extremes(drawn: Sequence[_Candle], xs: Sequence[float], y: Scale, spread: float) -> list[str]:
    highest = max(range(len(drawn)), key=lambda i: drawn[i].high)
    lowest = min(range(len(drawn)), key=lambda i: drawn[i].low)
    labels = []
    for i, value, shift in ((highest, drawn[highest].high, -5), (lowest, drawn[lowest].low, 12)):
        x = min(max(xs[i], LEFT + 24), RIGHT - 24)
        labels.append(svg.text(x, y(value) + shift, svg.number(value, spread), anchor="middle", size=10))
    return labels


def _marker_shapes(drawn: Sequence[_Candle], xs: Sequence[float], y: Scale, markers: Sequence[Marker]) -> list[str]:
    """One shape per candle and direction: more would lie on top of each other."""
    starts = [candle.ts for candle in drawn]
    placed = {
        (max(bisect_right(starts, marker.ts_utc) - 1, 0), marker.side)
        for marker in markers
        if marker.ts_utc >= starts[0]
    }
    up, down, rings = [], [], []
    for i, side in sorted(placed):
        x = svg.px(xs[i])
        if side in ("LONG", "BUY"):
            up.append(f"M{x} {svg.px(y(drawn[i].low) + 5)}l5 9h-10z")
        elif side in ("SHORT", "SELL"):
            down.append(f"M{x} {svg.px(y(drawn[i].high) - 5)}l5 -9h-10z")
        else:
            rings.append(f"M{x} {svg.px(y(drawn[i].high) - 12)}a4 4 0 1 0 .1 0z")
    return [
        svg.path("".join(up), fill=LINE),
        svg.path("".join(down), fill="#d29922"),
        svg.path("".join(rings), stroke=TEXT, width=1.6),
    ]


def _price_marks(drawn: Sequence[_Candle], xs: Sequence[float], y: Scale, markers: Sequence[Marker]) -> str:
    """A dash at each price that a marker has and the picture reaches."""
    starts = [candle.ts for candle in drawn]
    dashes = {
        f"M{svg.px(xs[max(bisect_right(starts, marker.ts_utc) - 1, 0)] - 8)} {svg.px(y(marker.price))}h16"
        for marker in markers
        if marker.price is not None and y.low <= marker.price <= y.high and marker.ts_utc >= starts[0]
    }
    return svg.path("".join(sorted(dashes)), stroke=LINE, width=2)


def _drawdowns(values: Sequence[float]) -> list[float]:
    """Distance below the highest value so far as a fraction ≤ 0; NaN where there is no value."""
    peak = -math.inf
    below: list[float] = []
    for value in values:
        peak = max(peak, value) if svg.is_number(value) else peak
        below.append(value / peak - 1 if svg.is_number(value) and peak > 0 else math.nan)
    return below


def _drawdown_shapes(below: list[float], xs: Sequence[float]) -> list[str]:
    worst = min((value for value in below if svg.is_number(value)), default=0.0)
    y = Scale(min(worst, -1e-4), 0, 334, 272)
    thin = thinned(below, MAX_CURVE_POINTS)
    line = [(x, y(value)) if svg.is_number(value) else None for x, value in zip(xs, thin, strict=True)]
    return [
        svg.path(f"M{LEFT} 272H{RIGHT}", stroke=GRID, width=0.5),
        _area(line, 272, DOWN),
        svg.path(svg.broken_line(line), stroke=DOWN),
        svg.text(RIGHT + 6, 276, "drawdown", size=10),
        svg.text(RIGHT + 6, 336, f"{worst * 100:.1f} %", fill=DOWN),
    ]


def _area(line: Sequence[svg.Point | None], base: float, fill: str) -> str:
    """The surface between a line and its base, gaps left open."""
    pieces: list[list[svg.Point]] = [[]]
    for point in line:
        if point is None:
            pieces.append([])
        else:
            pieces[-1].append(point)
    closed = [
        f"M{svg.px(piece[0][0])} {svg.px(base)}"
        + "".join(f"L{svg.px(x)} {svg.px(y)}" for x, y in piece)
        + f"V{svg.px(base)}z"
        for piece in pieces
        if len(piece) > 1
    ]
    return svg.path("".join(closed), fill=fill, extra=' fill-opacity=".14"')
