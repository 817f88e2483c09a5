"""Pictures of orders: right where they can be checked, below Dagit's size, and never an error on odd values."""

from __future__ import annotations

import base64
import math
from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree as ET

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.ops.order_plots import exposure_over_time, refusals_by_reason, slippage_histogram

START = datetime(2013, 2, 28, 20, 45, tzinfo=timezone.utc)
LIMIT = 20_000
SVG = "{http://www.w3.org/2000/svg}"


def drawing(picture: dg.MarkdownMetadataValue) -> ET.Element:
    assert len(picture.value) < LIMIT
    encoded = picture.value.split("base64,", maxsplit=1)[1].rstrip(")")
    return ET.fromstring(base64.b64decode(encoded))


def words(picture: dg.MarkdownMetadataValue) -> list[str]:
    return [element.text or "" for element in drawing(picture).iter(f"{SVG}text")]


def bars(picture: dg.MarkdownMetadataValue) -> list[ET.Element]:
    return list(drawing(picture).iter(f"{SVG}rect"))


def test_exposure_is_told_as_a_share_of_equity():
    points = [(START + timedelta(minutes=i), 100.0 * i, -50.0 * i, 1000.0) for i in range(5)]
    assert any("gross 40.0 %, net -20.0 % of equity now" in text for text in words(exposure_over_time(points)))


def test_years_of_exposure_stay_small():
    points = [(START + timedelta(hours=i), 1e5 + i, 5e4, 1e6) for i in range(20_000)]
    drawing(exposure_over_time(points))


def test_readings_without_equity_are_left_out():
    points = [(START, 1.0, 1.0, 0.0), (START, math.nan, 1.0, 5.0)]
    assert exposure_over_time(points).value == "no data"
    assert exposure_over_time([]).value == "no data"


def test_slippage_bars_hold_every_fill_and_costs_are_red():
    picture = slippage_histogram([-2.0, -1.0, 0.5, 0.6, 30.0, math.nan])
    assert any("5 fills · mean +5.62 bps · median +0.50 · worst +30.00" in text for text in words(picture))
    counted = [int(text) for text in words(picture) if text.isdigit()]
    assert sum(counted[: len(bars(picture))]) >= 5
    assert {bar.get("fill") for bar in bars(picture)} == {"#e5534b", "#1fa187"}


def test_without_slippage_there_is_no_picture():
    assert slippage_histogram([math.nan]).value == "no data"


def test_refusals_are_stacked_by_reason_and_counted():
    counts = {"2013-02-27": {"MaxOrderNotional": 2, "FreshPrice": 1}, "2013-02-28": {}, "2013-03-01": {"FreshPrice": 4}}
    picture = refusals_by_reason(counts)
    said = words(picture)
    assert "7 refusals in 3 sessions" in said
    assert {"FreshPrice: 5", "MaxOrderNotional: 2"} <= set(said)
    assert {"02-27", "02-28", "03-01"} <= set(said)
    assert {"3", "4"} <= set(said)
    layers = [path for path in drawing(picture).iter(f"{SVG}path") if path.get("stroke-opacity")]
    assert [path.get("d", "").count("M") for path in layers] == [
        2,
        1,
    ]  # FreshPrice in two sessions


def test_rare_reasons_are_summed_up():
    picture = refusals_by_reason({"2013-02-28": {f"Control{i}": 20 - i for i in range(12)}})
    assert "5 other reasons: 55" in words(picture)


def test_no_refusals_are_said_so():
    assert refusals_by_reason({"2013-02-28": {}}).value == "none refused"
    assert refusals_by_reason({}).value == "no data"


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=300))
def test_whatever_the_slippage_it_is_drawn(values):
    drawing(slippage_histogram(values))


@pytest.mark.parametrize("sessions", [1, 8, 200])
def test_however_many_sessions_refusals_are_drawn(sessions):
    days = [(START + timedelta(days=i)).date().isoformat() for i in range(sessions)]
    drawing(refusals_by_reason({day: {f"Control{i}": i for i in range(15)} for day in days}))
