"""Requests for news."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.errors import refuse_invalid, refuse_processing
from trading_platform.paper_gateway.market.market import NEWS_PROVIDERS
from trading_platform.paper_gateway.messages import news as messages
from trading_platform.paper_gateway.messages.ids import Incoming
from trading_platform.paper_gateway.messages.times import parse_instant

if TYPE_CHECKING:
    from trading_platform.paper_gateway.sessions import Session
    from trading_platform.paper_gateway.wire import FieldReader

_LOOK_BACK = timedelta(days=30)


def news_providers(session: Session, reader: FieldReader) -> None:
    """List the providers."""
    del reader
    session.send(messages.news_providers(NEWS_PROVIDERS))


def historical_news(session: Session, reader: FieldReader) -> None:
    """Send headlines about a contract, newest first; without a start those of the last thirty days."""
    request = messages.NewsRequest.read(reader)
    hub = session.hub
    found = hub.contracts.find(con_id=request.con_id)
    if not found:
        refuse_invalid(f"Invalid contract id {request.con_id}")
    unknown = [code for code in request.providers if code not in NEWS_PROVIDERS]
    if unknown:
        refuse_invalid(f"No subscription to the news providers {', '.join(unknown)}")
    now = hub.now()
    end = min(parse_instant(request.end), now) if request.end else now
    start = parse_instant(request.start) if request.start else end - _LOOK_BACK
    headlines = hub.market.headlines(found[0], start, end, request.limit + 1)
    wanted = [headline for headline in headlines if not request.providers or headline.provider in request.providers]
    for headline in wanted[: request.limit]:
        session.send(messages.historical_news(request.request_id, headline))
    session.send(messages.historical_news_end(request.request_id, has_more=len(wanted) > request.limit))


def news_article(session: Session, reader: FieldReader) -> None:
    """Send the text of one article."""
    request_id = reader.request_id()
    reader.skip()  # provider: the article's id names it
    article_id = reader.text()
    headline = session.hub.market.article(article_id, session.hub.now())
    if headline is None:
        refuse_processing(f"No such news article: {article_id}")
    session.send(messages.news_article(request_id, headline.body or headline.text))


HANDLERS = {
    Incoming.REQ_NEWS_PROVIDERS: news_providers,
    Incoming.REQ_HISTORICAL_NEWS: historical_news,
    Incoming.REQ_NEWS_ARTICLE: news_article,
}
