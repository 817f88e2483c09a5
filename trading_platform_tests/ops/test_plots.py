from __future__ import annotations

import base64
import math
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree

import dagster as dg
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.ops import svg
from trading_platform.ops.plots import Marker, candles, equity_curve, exposure_bars, sparkline
from trading_platform.ops.svg import Scale

UTC = timezone.utc
OPEN = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
NAN = float("nan")
wild = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0.01, 1000)
SVG = "{http://www.w3.org/2000/svg}"


def picture(markdown: dg.MarkdownMetadataValue) -> ElementTree.Element:
    """The drawing inside the markdown, read by an XML parser; every coordinate of it is a number."""
    match = re.search(r"!\[[^\]]*\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", markdown.value or "")
    assert match is not None, markdown.value
    text = base64.b64decode(match[1]).decode()
    assert not re.search(r"\b(nan|inf)\b", text)
    return ElementTree.fromstring(text)


def words(markdown: dg.MarkdownMetadataValue) -> str:
    return " ".join(picture(markdown).itertext())


def length(markdown: dg.MarkdownMetadataValue) -> int:
    return len(markdown.value or "")


def bars(closes: Iterable[float], step: timedelta = timedelta(minutes=5), start: datetime = OPEN) -> pd.DataFrame:
    closes = list(closes)
    opens = [closes[0], *closes[:-1]] if closes else []
    pairs = list(zip(opens, closes, strict=True))
    return pd.DataFrame(
        {
            "ts_utc": [start + step * i for i in range(len(closes))],
            "open": opens,
            "high": [max(pair) + 0.1 for pair in pairs],
            "low": [min(pair) - 0.1 for pair in pairs],
            "close": closes,
            "volume": [1000.0] * len(closes),
        }
    )


def wave(count: int) -> list[float]:
    return [100 + 5 * math.sin(i / 9) for i in range(count)]


@pytest.mark.parametrize("count", [1, 2, 60, 61, 390, 5000])
def test_a_sparkline_is_short_enough_to_be_shown_inline_and_names_last_low_and_high(count: int) -> None:
    markdown = sparkline(wave(count), "close of TSLA in the session")
    assert length(markdown) <= 900
    picture(markdown)
    assert f"{wave(count)[-1]:,.2f}" in (markdown.value or "")


def test_a_sparkline_is_green_when_it_rose_and_red_when_it_fell() -> None:
    assert svg.UP in ElementTree.tostring(picture(sparkline([1, 2]))).decode()
    assert svg.DOWN in ElementTree.tostring(picture(sparkline([2, 1]))).decode()


@pytest.mark.parametrize("values", [[], [NAN], [NAN, float("inf")]])
def test_nothing_to_draw_is_said_in_words(values: list[float]) -> None:
    assert sparkline(values).value == "no data"
    assert equity_curve([(OPEN, value) for value in values]).value == "no data"
    assert candles(bars(values)).value == "no data"
    assert exposure_bars({str(i): value for i, value in enumerate(values)}).value == "no exposure"


def test_a_small_move_fills_the_height_of_a_sparkline() -> None:
    (line,) = picture(sparkline([100.0, 100.1])).findall(f"{SVG}path")
    assert line.attrib["d"] == "M0 26 120 2"


def test_a_gap_in_the_values_is_a_gap_in_the_line() -> None:
    (line,) = picture(sparkline([1, 2, NAN, 2, 1])).findall(f"{SVG}path")
    assert line.attrib["d"].count("M") == 2


@settings(deadline=None)
@given(st.lists(wild, max_size=80))
def test_a_sparkline_of_anything_is_well_formed_and_short(values: list[float]) -> None:
    markdown = sparkline(values, "x")
    assert length(markdown) <= 1000
    if markdown.value != "no data":
        picture(markdown)


def test_candles_of_a_session_show_time_last_price_extremes_and_day() -> None:
    shown = words(candles(bars(wave(78)), title="TSLA · 5 mins", time_zone="America/New_York"))
    for part in (
        "TSLA · 5 mins",
        "09:30",
        "New York",
        "2013-02-28",
        f"{wave(78)[-1]:.2f}",
        f"{max(wave(78)) + 0.1:.2f}",
    ):
        assert part in shown


def test_daily_candles_are_labelled_by_session_whatever_the_time_zone() -> None:
    daily = bars(wave(10), timedelta(days=1), datetime(2013, 2, 1, tzinfo=UTC))
    shown = words(candles(daily, time_zone="America/New_York"))
    assert "Feb 01" in shown
    assert "2013-02-01 … 2013-02-10" in shown


def test_markers_are_drawn_at_the_bar_that_was_running_and_explained() -> None:
    frame = bars(wave(20))
    without = candles(frame)
    markers = [Marker(OPEN + timedelta(minutes=12), "LONG"), Marker(OPEN + timedelta(minutes=30), "SELL")]
    with_markers = picture(candles(frame, [*markers, Marker(OPEN + timedelta(minutes=50), "FLAT")]))
    added = len(with_markers.findall(f"{SVG}path")) - len(picture(without).findall(f"{SVG}path"))
    assert added == 3
    assert "▲ long" in " ".join(with_markers.itertext())


def test_a_fills_price_is_marked_at_its_candle() -> None:
    frame = bars(wave(20))
    fill = Marker(frame["ts_utc"].iloc[4], "BUY", float(frame["close"].iloc[4]))
    with_price, without = candles(frame, [fill]), candles(frame, [Marker(fill.ts_utc, "BUY")])
    assert "bought" in words(with_price)
    assert len(list(picture(with_price).iter(f"{SVG}path"))) == len(list(picture(without).iter(f"{SVG}path"))) + 1
    far = candles(frame, [Marker(fill.ts_utc, "BUY", 1e6)])
    assert len(list(picture(far).iter(f"{SVG}path"))) == len(list(picture(without).iter(f"{SVG}path")))


def test_a_deposit_moves_the_curve_and_is_neither_change_nor_drawdown() -> None:
    points = [(OPEN + timedelta(minutes=i), value) for i, value in enumerate([100.0, 200.0, 150.0])]
    drawn = words(equity_curve(points, growth=[1.0, 1.0, 1.0]))
    assert "+0.00 %" in drawn
    assert "drawdown 0.0 %" in drawn
    assert "-25.0 %" in words(equity_curve(points))


def test_a_marker_before_the_first_bar_is_not_drawn() -> None:
    frame = bars(wave(20))
    early = picture(candles(frame, [Marker(OPEN - timedelta(days=1), "BUY")]))
    assert len(early.findall(f"{SVG}path")) == len(picture(candles(frame)).findall(f"{SVG}path"))


@pytest.mark.parametrize("count", [1, 2, 78, 390, 5000])
def test_every_picture_fits_into_the_dialog_and_keeps_the_extremes(count: int) -> None:
    prices = wave(count)
    markers = [Marker(OPEN + timedelta(minutes=5 * i), "LONG") for i in range(0, count, 3)]
    drawn = candles(bars(prices), markers, title="TSLA")
    curve = equity_curve([(OPEN + timedelta(days=i), 1e4 * price) for i, price in enumerate(prices)])
    exposure = exposure_bars({f"S{i}": (-1) ** i * price for i, price in enumerate(prices[:400])}, 1e6)
    for markdown in (drawn, curve, exposure):
        picture(markdown)
        assert length(markdown) <= 20_000
    assert f"{max(prices) + 0.1:.2f}" in words(drawn)
    assert svg.money(1e4 * max(prices)) in words(curve)


@settings(deadline=None)
@given(st.lists(wild, max_size=60), wild)
def test_curves_candles_and_bars_of_anything_are_well_formed(values: list[float], equity: float) -> None:
    curve = equity_curve([(OPEN + timedelta(days=i), value) for i, value in enumerate(values)])
    exposure = exposure_bars({f"S{i}": value for i, value in enumerate(values)}, equity)
    frame = pd.DataFrame({"ts_utc": [OPEN + timedelta(minutes=i) for i in range(len(values))]})
    for name in ("open", "high", "low", "close", "volume"):
        frame[name] = [abs(value) for value in values]
    for markdown in (curve, exposure, candles(frame)):
        if not (markdown.value or "").startswith("no "):
            picture(markdown)


def test_an_equity_curve_names_its_change_and_its_worst_drawdown() -> None:
    points = [(OPEN + timedelta(days=i), value) for i, value in enumerate([100_000.0, 110_000.0, 99_000.0, 105_000.0])]
    shown = words(equity_curve(points, title="Account equity, USD"))
    for part in ("Account equity, USD", "+5.00 %", "-10.0 %", "105,000", "low $99.0k", "high $110k"):
        assert part in shown


def test_a_long_curve_with_gaps_keeps_its_worst_drawdown() -> None:
    values = [100.0 + i / 100 if i % 2 else NAN for i in range(2000)]
    values[1001] = 50.0
    shown = words(equity_curve([(OPEN + timedelta(hours=i), value) for i, value in enumerate(values)]))
    assert "-54.5 %" in shown


def test_exposure_shows_gross_net_leverage_and_sums_up_what_is_too_small_to_draw() -> None:
    shown = words(exposure_bars({"AAPL": 45_000.0, "FB": -22_000.0, "IBM": 0.0}, 100_000))
    assert "gross $67.0k · net $23.0k · 0.67× equity" in shown
    assert "-$22.0k" in shown
    assert "IBM" not in shown
    many = words(exposure_bars({f"S{i:02}": 1000.0 + i for i in range(25)}))
    assert "5 smaller: gross $5,010, net $5,010" in many


def test_a_title_can_not_break_out_of_the_picture_or_the_markdown() -> None:
    nasty = '](http://x) <script>"&'
    markdown = candles(bars(wave(5)), title=nasty)
    assert nasty in words(markdown)
    assert (markdown.value or "").count("](") == 1


def test_no_plotting_library_and_no_pandas_is_imported() -> None:
    code = (
        "import sys; import dagster; before = set(sys.modules); import trading_platform.ops.plots, "
        "trading_platform.ops.metadata; new = {m.split('.')[0] for m in set(sys.modules) - before}; "
        "print(sorted(new & {'matplotlib', 'plotly', 'bokeh', 'pandas', 'numpy', 'PIL'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "spread", "shown"),
    [
        (37.248, 0.9, "37.25"),
        (1.08123, 0.002, "1.0812"),
        (1_338_719.4, 300_000, "1,338,719"),
        (12_345_678.0, 1e6, "12.35M"),
        (0.0, 0.0, "0.00"),
        (30_123.4, 500.0, "30,123"),
    ],
)
def test_numbers_have_as_many_decimals_as_tell_them_apart(value: float, spread: float, shown: str) -> None:
    assert svg.number(value, spread) == shown


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_inside_the_scale_in_order_and_not_too_many(low: float, size: float) -> None:
    scale = Scale(low, low + size, 100, 0)
    if scale.high - scale.low < abs(low) * 1e-9:
        return
    ticks = scale.ticks(6)
    assert ticks == sorted(ticks)
    assert len(ticks) <= 7
    slack = size * 1e-6
    assert all(scale.low - slack <= tick <= scale.high + slack for tick in ticks)
