"""Pictures of orders and of the account for Dagit: exposure over time, slippage, refusals by reason.

Like ``ops.plots`` each returns markdown metadata with the picture as a data URI below 20 kB; nothing to draw
gives the words "no data".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

import dagster as dg

from trading_platform.ops import svg
from trading_platform.ops.axes import LEFT, NO_DATA, RIGHT, TOP, WIDTH, days_shown, heading, joined, thinned, time_axis
from trading_platform.ops.svg import DOWN, GRID, LINE, TEXT, UP, Scale

MAX_POINTS = 240
MAX_COLUMNS = 30
MAX_REASONS = 7
COLORS = (DOWN, "#d29922", LINE, "#8957e5", UP, "#db61a2", "#39a0c6", TEXT)
"""Of reasons, the most frequent first; the last is for the rest together."""
_BOTTOM = 252


def exposure_over_time(
    points: Sequence[tuple[datetime, float, float, float]], *, title: str = "Exposure over time", time_zone: str = "UTC"
) -> dg.MarkdownMetadataValue:
    """Gross and net exposure as a share of equity, in percent.

    Args:
        points: (tz-aware instant, gross USD, net USD, equity USD), oldest first; more than 240 are thinned. Points
            without equity are left out.
        title: shown above.
        time_zone: of the axis labels.
    """
    known = [
        (ts, gross / equity * 100, net / equity * 100)
        for ts, gross, net, equity in points
        if equity > 0 and svg.is_number(gross) and svg.is_number(net)
    ]
    if not known:
        return dg.MetadataValue.md(NO_DATA)
    shown = thinned(known, MAX_POINTS)
    y = Scale.around([0.0, *(value for _, gross, net in shown for value in (gross, net))], _BOTTOM, TOP + 18)
    pitch = (RIGHT - LEFT) / max(len(shown) - 1, 1)
    xs = [LEFT + pitch * i for i in range(len(shown))] if len(shown) > 1 else [(LEFT + RIGHT) / 2]
    last = shown[-1]
    parts = [
        time_axis([ts for ts, _, _ in shown], xs, time_zone, top=TOP, bottom=_BOTTOM),
        svg.y_axis(y, LEFT, RIGHT, [(v, f"{v:.4g} %") for v in y.ticks(5)], avoid=None),
        svg.path(f"M{LEFT} {svg.px(y(0))}H{RIGHT}", stroke=GRID),
        svg.path(svg.broken_line([(x, y(v)) for x, (_, v, _) in zip(xs, shown, strict=True)]), stroke=LINE, width=1.8),
        svg.path(
            svg.broken_line([(x, y(v)) for x, (_, _, v) in zip(xs, shown, strict=True)]),
            stroke="#d29922",
            width=1.4,
            extra=' stroke-dasharray="5 3"',
        ),
        _legend([("gross", LINE), ("net", "#d29922")]),
        heading(
            title,
            joined(
                days_shown(shown[0][0], last[0], time_zone),
                f"gross {last[1]:.1f} %, net {last[2]:.1f} % of equity now",
                f"highest {max(gross for _, gross, _ in known):.1f} %",
            ),
        ),
    ]
    alt = f"{title}: gross {last[1]:.1f} %, net {last[2]:.1f} % of equity"
    return dg.MetadataValue.md(svg.markdown_image(svg.document(WIDTH, 276, parts), alt))


def slippage_histogram(values_bps: Sequence[float], *, title: str = "Slippage") -> dg.MarkdownMetadataValue:
    """How many fills were how much worse (right, red) or better (left, green) than the decision price.

    Args:
        values_bps: basis points, positive is a cost; NaN are left out.
        title: shown above.
    """
    known = sorted(float(value) for value in values_bps if svg.is_number(value))
    if not known:
        return dg.MetadataValue.md(NO_DATA)
    step = _bin_width(known)
    first = math.floor(known[0] / step)
    counts = [0] * (math.floor(known[-1] / step) - first + 1)
    for value in known:
        counts[math.floor(value / step) - first] += 1
    y = Scale(0, max(counts), 230, TOP + 10)
    pitch = (RIGHT - LEFT) / max(len(counts), 8)
    labels, bars = [], []
    every = math.ceil(len(counts) / 8)
    for i, count in enumerate(counts):
        x, low = LEFT + pitch * i, (first + i) * step
        if count:
            bars.append(
                f'<rect x="{svg.px(x + 1)}" y="{svg.px(y(count))}" width="{svg.px(max(pitch - 2, 1))}" '
                f'height="{svg.px(230 - y(count))}" fill="{DOWN if low >= 0 else UP}" fill-opacity=".8"/>'
            )
            if len(counts) <= 20:
                bars.append(svg.text(x + pitch / 2, y(count) - 4, str(count), anchor="middle", size=10))
        if i % every == 0:
            labels.append(svg.text(x, 246, f"{low:g}", anchor="middle" if i else "start"))
    mean, median = sum(known) / len(known), known[len(known) // 2]
    words = f"{len(known)} fills · mean {mean:+.2f} bps · median {median:+.2f} · worst {known[-1]:+.2f}"
    parts = [
        *bars,
        svg.path(f"M{LEFT} 230H{RIGHT}", stroke=GRID),
        *labels,
        svg.text(WIDTH - 6, 246, "bps, + is a cost", anchor="end", size=10),
        heading(title, words),
    ]
    return dg.MetadataValue.md(svg.markdown_image(svg.document(WIDTH, 258, parts), f"{title}: {words}"))


def refusals_by_reason(
    counts: Mapping[str, Mapping[str, int]], *, title: str = "Refused by risk"
) -> dg.MarkdownMetadataValue:
    """Refusals of each session as a column, stacked by reason code.

    Args:
        counts: session → reason code → how often, the newest 30 sessions are drawn. Sessions without refusals
            belong in it too.
        title: shown above.
    """
    sessions = sorted(counts)[-MAX_COLUMNS:]
    totals: dict[str, int] = {}
    for session in sessions:
        for reason, count in counts[session].items():
            totals[reason] = totals.get(reason, 0) + count
    if not any(totals.values()):
        return dg.MetadataValue.md("none refused" if sessions else NO_DATA)
    ranked = sorted(totals, key=lambda reason: (-totals[reason], reason))
    shown, rest = ranked[:MAX_REASONS], ranked[MAX_REASONS:]
    layers: list[tuple[str, tuple[str, ...], str]]
    layers = [(reason, (reason,), color) for reason, color in zip(shown, COLORS, strict=False)]
    if rest:
        layers.append((f"{len(rest)} other reasons", tuple(rest), COLORS[-1]))
    top = TOP + 8 + 16 * len(layers)
    base = top + 150
    highest = max(sum(counts[session].values()) for session in sessions)
    y = Scale(0, highest, base, top + 14)
    pitch = (RIGHT - LEFT) / max(len(sessions), 8)
    parts = [heading(title, f"{sum(totals.values())} refusals in {len(sessions)} sessions")]
    for row, (label, reasons, color) in enumerate(layers):
        at = TOP + 2 + 16 * row
        parts.append(f'<rect x="{LEFT}" y="{at}" width="10" height="10" fill="{color}"/>')
        parts.append(svg.text(LEFT + 16, at + 9, f"{label}: {sum(totals[reason] for reason in reasons)}"))
    every = math.ceil(len(sessions) / 8)
    shapes: dict[str, list[str]] = {color: [] for _, _, color in layers}
    for i, session in enumerate(sessions):
        middle, foot = LEFT + pitch * (i + 0.5), 0
        for _, reasons, color in layers:
            count = sum(counts[session].get(reason, 0) for reason in reasons)
            if count:
                shapes[color].append(f"M{svg.px(middle)} {svg.px(y(foot))}V{svg.px(y(foot + count))}")
                foot += count
        if foot:
            parts.append(svg.text(middle, y(foot) - 4, str(foot), anchor="middle", size=10))
        if i % every == 0:
            parts.append(svg.text(middle, base + 16, session[5:], anchor="middle"))
    width = max(pitch - 4, 2)
    parts += [
        svg.path("".join(drawn), stroke=color, width=width, extra=' stroke-opacity=".85"')
        for color, drawn in shapes.items()
    ]
    parts += [
        svg.path(f"M{LEFT} {base}H{RIGHT}", stroke=GRID),
        svg.text(WIDTH - 6, base + 16, "session", anchor="end", size=10),
    ]
    alt = f"{title}: " + ", ".join(f"{reason} {totals[reason]}" for reason in shown)
    return dg.MetadataValue.md(svg.markdown_image(svg.document(WIDTH, base + 26, parts), alt))


def _bin_width(known: Sequence[float]) -> float:
    """A round width, 1, 2 or 5 times a power of ten, that gives at most forty bins."""
    raw = max((known[-1] - known[0]) / 24, 0.01)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    parts = []
    for i, (label, color) in enumerate(entries):
        x = LEFT + 70 * i
        parts.append(svg.path(f"M{x} {TOP + 4}h18", stroke=color, width=2) + svg.text(x + 23, TOP + 8, label))
    return "".join(parts)
