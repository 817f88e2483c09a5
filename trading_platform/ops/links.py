"""Links within Dagit, for markdown and URLs in metadata: from a number to where it came from.

Paths begin at the web server's root, so they lead on within whatever address the page was opened at. A web server
that was started with ``--path-prefix`` breaks them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

import dagster as dg

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 30
NO_LINK = "–"
DIALOG_FROM = 1001
"""Characters of markdown from which on Dagit shows it in a dialog."""


def run_path(run_id: str) -> str:
    """The page of a Dagster run."""
    return f"/runs/{quote(run_id)}"


def asset_path(key: Sequence[str], partition: str | None = None) -> str:
    """The page of an asset, or of one of its partitions."""
    path = "/assets/" + "/".join(quote(part) for part in key)
    return f"{path}?view=partitions&partition={quote(partition)}" if partition else f"{path}?view=overview"


def link(words: str, path: str | None) -> str:
    """A markdown link; a dash without a path."""
    safe = "".join(f"\\{character}" if character in "[]|\\" else character for character in words)
    return f"[{safe}]({path})" if path else NO_LINK


def markdown_table(rows: Sequence[Mapping[str, str]], *, max_rows: int = MAX_ROWS) -> dg.MarkdownMetadataValue:
    """A markdown table of cells that are markdown already; a last line says how many rows were left off.

    Cells must have been made by :func:`link` or :func:`cell`. Dagit shows short markdown in place, where a wide table
    is cut off, and longer one in a dialog as wide as it needs: so it is made long enough.
    """
    if not rows:
        return dg.MetadataValue.md("none")
    columns = list(rows[0])
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    lines += [f"| {' | '.join(row[column] for column in columns)} |" for row in rows[:max_rows]]
    if len(rows) > max_rows:
        lines.append(f"\n… {len(rows) - max_rows} more rows")
    return dg.MetadataValue.md("\n".join(lines).ljust(DIALOG_FROM))


def frame_in_full(frame: pd.DataFrame, *, max_rows: int = MAX_ROWS) -> dg.MarkdownMetadataValue:
    """A frame as a markdown table, which Dagit shows in a dialog as wide as it needs; numbers as they are, no NaN."""
    import pandas as pd

    rows = [
        {str(name): NO_LINK if pd.isna(value) else cell(_text(value)) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
    return markdown_table(rows, max_rows=max_rows)


def _text(value: object) -> str:
    return f"{value:,.10g}" if isinstance(value, float) else str(value)


def cell(words: object) -> str:
    """Text as a cell of a markdown table: one line, nothing of it markdown."""
    line = " ".join(str(words).split())
    return "".join(f"\\{character}" if character in "[]|\\*_`<" else character for character in line) or NO_LINK
