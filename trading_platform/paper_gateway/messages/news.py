"""News on the wire: providers, headlines, articles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.messages.ids import Outgoing
from trading_platform.paper_gateway.messages.times import UTC
from trading_platform.paper_gateway.model import Headline

if TYPE_CHECKING:
    from trading_platform.paper_gateway.wire import Field, FieldReader

_PLAIN_TEXT = 0


@dataclass(frozen=True)
class NewsRequest:
    """A request for headlines about one contract. Times are texts in TWS's spelling."""

    request_id: int
    con_id: int
    providers: tuple[str, ...]
    start: str
    end: str
    limit: int

    @classmethod
    def read(cls, reader: FieldReader) -> NewsRequest:
        """Read reqHistoricalNews. TWS serves at most 300 headlines."""
        request_id, con_id = reader.request_id(), reader.integer()
        providers = tuple(filter(None, reader.text().split("+")))
        start, end = reader.text(), reader.text()
        return cls(request_id, con_id, providers, start, end, min(reader.integer() or 300, 300))


def news_providers(names: Mapping[str, str]) -> list[Field]:
    """The news providers: code to name."""
    fields: list[Field] = [Outgoing.NEWS_PROVIDERS, len(names)]
    for code, name in names.items():
        fields += [code, name]
    return fields


def historical_news(request_id: int, headline: Headline) -> list[Field]:
    """One headline; times are UTC."""
    stamp = f"{headline.ts_utc.astimezone(UTC):%Y-%m-%d %H:%M:%S}.0"
    return [Outgoing.HISTORICAL_NEWS, request_id, stamp, headline.provider, headline.article_id, headline.text]


def historical_news_end(request_id: int, *, has_more: bool) -> list[Field]:
    """No more headlines in this answer."""
    return [Outgoing.HISTORICAL_NEWS_END, request_id, has_more]


def news_article(request_id: int, body: str) -> list[Field]:
    """The text of one article."""
    return [Outgoing.NEWS_ARTICLE, request_id, _PLAIN_TEXT, body]
