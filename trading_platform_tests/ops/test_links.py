"""Links within Dagit: paths that its router knows, in markdown that stays a table whatever is in it."""

from __future__ import annotations

import math

import pandas as pd

from trading_platform.ops.links import asset_path, cell, frame_in_full, link, markdown_table, run_path


def test_paths_are_those_of_dagits_pages():
    assert run_path("5d3f-1") == "/runs/5d3f-1"
    assert asset_path(("orders", "tsla_orders")) == "/assets/orders/tsla_orders?view=overview"
    assert asset_path(("orders", "tsla_orders"), "2013-02-28") == (
        "/assets/orders/tsla_orders?view=partitions&partition=2013-02-28"
    )


def test_what_leads_nowhere_is_a_dash():
    assert link("run", None) == "–"
    assert cell("") == "–"


def test_text_can_not_break_the_table_or_become_markdown():
    assert cell("a|b [c] *d* <e>") == r"a\|b \[c\] \*d\* \<e>"
    assert link("a]|", "/x") == r"[a\]\|](/x)"


def test_rows_become_a_markdown_table_and_the_rest_is_counted():
    rows = [{"fill": cell(i), "run": link("run", run_path(str(i)))} for i in range(5)]
    table = markdown_table(rows, max_rows=2).value
    assert table is not None
    assert len(table) > 1000  # Dagit cuts a table off that it shows in place
    assert table.rstrip() == (
        "| fill | run |\n|---|---|\n| 0 | [run](/runs/0) |\n| 1 | [run](/runs/1) |\n\n… 3 more rows"
    )


def test_no_rows_are_the_word_none():
    assert markdown_table([]).value == "none"


def test_a_frame_in_full_has_numbers_as_they_are_and_dashes_for_what_is_missing():
    frame = pd.DataFrame({"price": [86799.87, math.nan], "why": ["a|b", None]})
    assert (frame_in_full(frame).value or "").rstrip() == "| price | why |\n|---|---|\n| 86,799.87 | a\\|b |\n| – | – |"
