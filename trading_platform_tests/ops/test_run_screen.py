"""The summary of a run fits 80 columns, and has more where there is room."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from trading_platform.ops.run_document import AssetOutcome, CheckOutcome, RunDocument
from trading_platform.ops.run_progress import Progress
from trading_platform.ops.run_screen import Screen, show, text_of


def document() -> RunDocument:
    """A run with something in every part."""
    order: dict[str, Any] = {
        "client_order_id": "momentum.GOOG.20130228T1430Z.r0",
        "perm_id": 1205752292,
        "strategy": "momentum",
        "symbol": "GOOG",
        "side": "BUY",
        "quantity": 1062.0,
        "type": "STP LMT",
        "status": "partially_filled",
        "filled_quantity": 62.0,
        "average_price": 1803.151,
    }
    return RunDocument(
        as_of="2013-02-28T20:45:16+00:00",
        session="2013-02-28",
        account="DU20130228",
        mode="paper",
        market="open",
        notes=["the clock was set [back]"],
        assets={"market_data/daily_validated_bars": AssetOutcome(status="materialized", rows=1234)},
        checks=[CheckOutcome(asset="a/b", check="known", passed=False, severity="WARN")] * 2,
        signals=[
            {
                "strategy": "momentum",
                "symbol": "GOOG",
                "side": "LONG",
                "target_weight": 0.5,
                "confidence": 0.8992,
                "reason": "momentum +18.6% in 63 sessions, rank 1 of 5, and a good many more words about it",
            }
        ],
        intents=[{**order, "approved": False, "reasons": ["too large", "stale price [old]"]}],
        orders=[order],
        fills=[
            {
                "execution_id": "0000e0d5.085ffaf8.01.01",
                "symbol": "GOOG",
                "side": "BUY",
                "quantity": 62.0,
                "price": 803.14,
                "commission": 1.0,
                "ts": "2013-02-28T20:45:38+00:00",
            }
        ],
        positions=[{"symbol": "BTC", "quantity": -0.125, "average_price": 0.00012345}],
        equity=999965.88,
        new_orders=1,
        outcomes={"orders/momentum_orders": "1 placed"},
        failures=["orders/x: [why] it failed"],
    )


def shown(width: int) -> str:
    console = Console(width=width, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        show(document(), console, 12.3)
    return captured.get()


@pytest.mark.parametrize("width", [80, 120, 160])
def test_no_line_is_too_wide_and_no_heading_or_number_is_cut(width: int) -> None:
    lines = shown(width).splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for word in ("strategy", "quantity", "commission", "momentum", "1,062", "1,803.15", "partially_filled", "20:45:38"):
        assert word in words, word


def test_what_is_nice_to_have_is_shown_where_there_is_room() -> None:
    assert "1205752292" not in shown(80)
    assert "1205752292" in shown(120)
    assert "momentum.GOOG.20130228T1430Z.r0" in shown(160)


def test_the_summary_says_what_a_trader_asks() -> None:
    text = " ".join(shown(80).split())
    for words in (
        "session 2013-02-28 · paper account DU20130228",
        "1,234 validated bars",
        "2 warned, 0 failed",
        "intents: 0 approved, 1 rejected",
        "too large; stale price [old]",
        "equity 999,965.88 USD, new orders 1",
        "the clock was set [back]",
        "failed: orders/x: [why] it failed",
    ):
        assert words in text, words


def test_progress_shows_rows_and_seconds() -> None:
    console = Console(width=80, force_terminal=False)
    with console.capture() as captured:
        screen = Screen(console, console.status("…"))
        screen.report(Progress("done", "market_data/daily_raw_bars", 1350, 1.234))
        screen.report(Progress("failed", "orders/x: [bold]why[/bold]"))
        screen.report(Progress("step", "not a line of its own"))
    first, second = captured.get().splitlines()
    assert first.split() == ["✓", "market_data/daily_raw_bars", "1,350", "rows", "1.2", "s"]
    assert second == "✗ orders/x: [bold]why[/bold]"


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("quantity", 1836.0, "1,836"),
        ("quantity", 0.125, "0.125"),
        ("filled_quantity", 0.0, "0"),
        ("price", 0.0, "0.00"),
        ("price", None, ""),
        ("confidence", 0.5, "50%"),
        ("perm_id", 1205752292, "1205752292"),
        ("approved", True, "approved"),
        ("status", "filled", "filled"),
    ],
)
def test_values_read_as_a_trader_writes_them(field: str, value: object, text: str) -> None:
    assert text_of(field, value) == text
