"""The platform as a Dagster resource: its clock, its strategies, its universe."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from trading_platform.clock import Clock
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.quality import DataQuality
from trading_platform.domain.market_data.sources import Sources
from trading_platform.domain.market_data.watch_lists import WatchList
from trading_platform.domain.orders.risk.limits import AccountLimits
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.settings import Settings, get_settings
from trading_platform.specs.configured import configured_feeds, configured_specs
from trading_platform.specs.loader import Universe, load_data_quality, load_risk_limits, load_universe
from trading_platform.specs.sources import load_sources
from trading_platform.specs.watch_lists import load_watch_lists

if TYPE_CHECKING:
    from datetime import datetime


class PlatformResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # it provides itself
    """What every asset may ask for: the time, the strategy specs, the instruments."""

    @property
    def settings(self) -> Settings:
        """The process's settings."""
        return get_settings()

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        return self.settings.clock

    def now(self) -> datetime:
        """The platform's current instant, tz-aware UTC."""
        return self.clock.now()

    @property
    def specs(self) -> tuple[StrategySpec, ...]:
        """The strategies, their universes narrowed to the settings' symbols."""
        return configured_specs(self.settings)

    def close_of(self, strategy: str, session: str) -> datetime | None:
        """When the session (ISO date) of a strategy closes, tz-aware UTC; ``None`` for one that is not configured."""
        for spec in self.specs:
            if spec.name == strategy:
                return get_calendar(spec.calendar).close_of(date.fromisoformat(session))
        return None

    @property
    def universe(self) -> Universe:
        """All known instruments, under the tickers that they have now."""
        return load_universe(self.settings.strategies).on(self.now().date())

    @property
    def watch_lists(self) -> Mapping[str, WatchList]:
        """What each watch list begins with, by name."""
        return load_watch_lists(self.settings.strategies)

    @property
    def account_limits(self) -> AccountLimits:
        """What ``risk.yaml`` holds the whole account to."""
        return load_risk_limits(self.settings.strategies).account

    @property
    def data_quality(self) -> DataQuality:
        """How strictly bars are judged."""
        return load_data_quality(self.settings.strategies)

    @property
    def sources(self) -> Sources:
        """Where feeds take their bars from."""
        return load_sources(self.settings.strategies)

    def instrument(self, symbol: str) -> Instrument:
        """The instrument ``symbol``."""
        return self.universe.instruments[symbol]

    def feed(self, name: str) -> Feed:
        """The feed ``name``."""
        return next(feed for feed in configured_feeds(self.settings) if feed.name == name)

    def spec(self, name: str) -> StrategySpec:
        """The strategy ``name``."""
        return next(spec for spec in self.specs if spec.name == name)
