"""What persons changed in watch lists, kept in the lake as small records, so that it can be seen who did what when."""

from __future__ import annotations

from trading_platform.domain.market_data.watch_lists import WatchChange
from trading_platform.storage.lake import Lake
from trading_platform.storage.small_records import add_record, read_records

STAGE = "watch_changes"


class WatchChanges:
    """The changes of a lake's watch lists. Raises the lake's errors."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def record(self, change: WatchChange) -> str:
        """Add a change; returns the path of its file.

        Raises:
            ValueError: ``at`` has no time zone, or nobody or no reason is named.
        """
        return add_record(self._lake, STAGE, f"{change.watch_list}.{change.at:%Y%m%dT%H%M%S}", vars(change))

    def of(self, watch_list: str) -> list[WatchChange]:
        """All changes of a list, oldest first."""
        rows = read_records(self._lake, STAGE, lambda stem: stem.split(".", 1)[0] == watch_list)
        return sorted((WatchChange(**row) for row in rows), key=lambda one: (one.at, one.symbol, one.change))
