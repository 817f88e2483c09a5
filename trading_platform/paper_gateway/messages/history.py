"""Historical bars on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.messages.contracts import ContractQuery
from trading_platform.paper_gateway.messages.ids import Outgoing
from trading_platform.paper_gateway.messages.times import local_stamp, utc_stamp
from trading_platform.paper_gateway.model import Bar

if TYPE_CHECKING:
    from trading_platform.paper_gateway.wire import Field, FieldReader

EPOCH_SECONDS = 2
"""The date format that asks for seconds since 1970 instead of local text."""

TICK_TYPES = ("TRADES", "AGGTRADES", "MIDPOINT", "BID", "ASK", "BID_ASK", "ADJUSTED_LAST")


@dataclass(frozen=True)
class HistoryRequest:
    """A request for historical bars, in TWS's words."""

    request_id: int
    query: ContractQuery
    end: str
    bar_size: str
    duration: str
    regular_hours_only: bool
    what: str
    date_format: int
    keep_up_to_date: bool

    @classmethod
    def read(cls, reader: FieldReader) -> HistoryRequest:
        """Read reqHistoricalData."""
        request_id = reader.request_id()
        query = ContractQuery.read(reader)
        reader.skip()  # expired contracts too
        end, bar_size, duration = reader.text(), reader.text(), reader.text()
        regular_hours_only, what, date_format = reader.boolean(), reader.text(), reader.integer()
        if query.security_type == "BAG":
            reader.skip(4 * reader.integer())
        return cls(request_id, query, end, bar_size, duration, regular_hours_only, what, date_format, reader.boolean())


@dataclass(frozen=True)
class BarFormat:
    """How the bars of one request are dated: daily ones by date, others in the zone or by epoch."""

    is_daily: bool
    date_format: int
    time_zone: str

    def stamp(self, bar: Bar) -> str:
        """The bar's date as the client asked for it."""
        if self.is_daily:
            return f"{bar.ts_utc:%Y%m%d}"
        if self.date_format == EPOCH_SECONDS:
            return str(int(bar.ts_utc.timestamp()))
        return local_stamp(bar.ts_utc, self.time_zone)


def historical_data(
    request_id: int, bars: Sequence[Bar], style: BarFormat, start: datetime, end: datetime
) -> list[Field]:
    """All bars of an answer in one message; ``start`` and ``end`` are the instants asked for."""
    fields: list[Field] = [
        Outgoing.HISTORICAL_DATA,
        request_id,
        local_stamp(start, style.time_zone),
        local_stamp(end, style.time_zone),
        len(bars),
    ]
    for bar in bars:
        fields += [style.stamp(bar), bar.open, bar.high, bar.low, bar.close, bar.volume, bar.wap, bar.trade_count]
    return fields


def historical_data_update(request_id: int, bar: Bar, style: BarFormat) -> list[Field]:
    """The newest bar of a request that is kept up to date. The order of its fields differs from the answer's."""
    head: list[Field] = [Outgoing.HISTORICAL_DATA_UPDATE, request_id, bar.trade_count, style.stamp(bar)]
    return [*head, bar.open, bar.close, bar.high, bar.low, bar.wap, bar.volume]


def head_timestamp(request_id: int, moment: datetime, date_format: int) -> list[Field]:
    """The instant of the oldest bar."""
    stamp = str(int(moment.timestamp())) if date_format == EPOCH_SECONDS else utc_stamp(moment)
    return [Outgoing.HEAD_TIMESTAMP, request_id, stamp]
