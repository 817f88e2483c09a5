"""Which source a feed's bars come from, symbol by symbol."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import date, datetime

from trading_platform.brokers.base import Broker, BrokerConnectionError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.sources import BROKER, Sources
from trading_platform.domain.signals.spec import BarSize
from trading_platform.ingest.sources.base import BarSource, SourcedBars, SourceError, SourceUnavailableError
from trading_platform.settings import Settings, named_secret


def source_for(feed: Feed, sources: Sources, broker: Callable[[], Broker], settings: Settings) -> FeedSource:
    """The source of the feed's bars. ``broker`` is called only when a symbol of it is asked for at the broker."""
    return FeedSource(feed, sources, broker, settings)


class FeedSource:
    """A :class:`~trading_platform.ingest.sources.base.BarSource` that asks each symbol's own.

    It lives as long as one run: what a source has read once is not read again. ``left_out`` says which rows were not
    handed out, each with ``symbol``, ``source``, ``reason`` and ``rows``.
    """

    def __init__(self, feed: Feed, sources: Sources, broker: Callable[[], Broker], settings: Settings) -> None:
        self._feed = feed
        self._sources = sources
        self._rule = sources.of(feed.name)
        self._broker = broker
        self._settings = settings
        self._lock = threading.Lock()
        self._made: dict[str, BarSource] = {}
        self._left_out: list[dict[str, str | int]] = []

    @property
    def left_out(self) -> list[dict[str, str | int]]:
        """Rows that were not handed out so far, by symbol and reason."""
        return sorted(self._left_out, key=lambda row: (str(row["symbol"]), str(row["reason"])))

    def bars(
        self,
        instrument: Instrument,
        bar_size: BarSize,
        sessions: Sequence[date],
        *,
        since: datetime | None,
        now: datetime,
    ) -> SourcedBars:
        """The bars of the instrument's own source.

        Where the feed has several sources, one that can't be reached costs its own symbols and no others.
        """
        name = self._rule.source_of(instrument.symbol)
        try:
            sent = self._named(name).bars(instrument, bar_size, sessions, since=since, now=now)
        except (BrokerConnectionError, SourceUnavailableError) as error:
            if len(self._rule.names(self._feed.symbols)) == 1:
                raise
            raise SourceError(str(error)) from error
        with self._lock:
            self._left_out += [
                {"symbol": instrument.symbol, "source": name, "reason": reason, "rows": count}
                for reason, count in sent.left_out.items()
            ]
        return sent

    def _named(self, name: str) -> BarSource:
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def _make(self, name: str) -> BarSource:
        if name == BROKER:
            from trading_platform.ingest.sources.broker import BrokerSource

            return BrokerSource(self._broker())
        declared = self._sources.sources[name]
        symbols = [symbol for symbol in self._feed.symbols if self._rule.source_of(symbol) == name]
        if declared.postgres is not None:
            from trading_platform.ingest.sources.postgres import postgres_source

            secret = named_secret(declared.postgres.url_env)
            return postgres_source(name, declared, symbols, secret.get_secret_value() if secret else None)
        from trading_platform.ingest.sources.directory import directory_source

        endpoint = self._settings.s3_endpoint_url
        is_s3 = declared.directory is not None and declared.directory.location.startswith("s3://")
        options = {"client_kwargs": {"endpoint_url": endpoint}} if endpoint and is_s3 else {}
        return directory_source(name, declared, symbols, options)
