"""How strictly bars are judged. Written in ``data_quality.yaml`` only; read by ``specs.loader``.

A section names only what it changes: what holds for a feed is the base for its bar size, then what its instruments'
security type says, then what its own section says.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field, field_validator

from trading_platform.domain.instruments import Instrument, SecurityType
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.reasons import JUDGEMENTS, Severity
from trading_platform.domain.signals.spec import BarSize
from trading_platform.domain.suggestions import did_you_mean

SEVERITIES: Mapping[str, Severity] = MappingProxyType(
    {
        "split_day_mixture": "quarantine",
        "excessive_range": "quarantine",
        "bad_print": "quarantine",
        "isolated_bar": "quarantine",
        "scale_error": "quarantine",
        "split_like_jump": "hold",
        "unexplained_jump": "hold",
        "stale_repeat": "hold",
        "zero_volume": "warning",
        "long_gap": "warning",
        "volume_shift": "warning",
        "vendor_revision": "warning",
    }
)
"""What holds where the file says nothing. A bar that could be true is kept; one that nothing supports is not."""

UNCHANGED: Mapping[str, Severity] = MappingProxyType({})
IGNORED_WITHIN_SESSIONS: Mapping[str, Severity] = MappingProxyType({"volume_shift": "ignore"})


class QualityRules(BaseModel):
    """Severities and thresholds of one kind of bars; the defaults are those of daily bars.

    Percentages are distances between two prices, larger over smaller less one, so that halving is as far as doubling:
    100. ``min_move`` is in the currency of the prices: smaller distances are ticks of a penny stock. A threshold
    that is ``None`` is not tried.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    severities: Mapping[str, Severity] = Field(default_factory=lambda: UNCHANGED)
    wick_pct: float = Field(default=50, gt=0)
    isolated_pct: float = Field(default=10, gt=0)
    jump_pct: float = Field(default=50, gt=0)
    range_pct: float | None = Field(default=None, gt=0)
    scale_tolerance_pct: float = Field(default=8, gt=0, lt=50)
    split_tolerance_pct: float = Field(default=5, gt=0, lt=20)
    min_move: float = Field(default=0.1, ge=0)
    stale_bars: int = Field(default=1, gt=0)
    gap_sessions: int = Field(default=20, gt=1)
    volume_factor: float = Field(default=10, gt=1)
    volume_window: int = Field(default=20, gt=1)
    revision_pct: float = Field(default=0.01, ge=0)
    extended_before_minutes: int = Field(default=0, ge=0, lt=720)
    extended_after_minutes: int = Field(default=0, ge=0, lt=720)

    @field_validator("severities")
    @classmethod
    def _codes_exist(cls, severities: Mapping[str, Severity]) -> Mapping[str, Severity]:
        for code in severities:
            if code not in JUDGEMENTS:
                hint = did_you_mean(code, JUDGEMENTS) or f"; known: {', '.join(JUDGEMENTS)}"
                msg = f"there is no rule {code!r} whose severity can be chosen{hint}"
                raise ValueError(msg)
        return severities

    def severity(self, code: str) -> Severity:
        """What a finding of the rule ``code`` leads to; structure is always set aside."""
        return self.severities.get(code) or SEVERITIES.get(code, "quarantine")

    def with_changes(self, section: QualityRules | None) -> QualityRules:
        """These rules with what ``section`` names in their place; severities one by one."""
        if section is None:
            return self
        named = {field: getattr(section, field) for field in section.model_fields_set}
        severities = MappingProxyType({**self.severities, **section.severities})
        return self.model_copy(update=named | {"severities": severities})


class IntradayRules(QualityRules):
    """The defaults of bars shorter than a session: a minute moves less than a day, but repeats itself more easily."""

    wick_pct: float = Field(default=10, gt=0)
    isolated_pct: float = Field(default=5, gt=0)
    jump_pct: float = Field(default=30, gt=0)
    range_pct: float | None = Field(default=50, gt=0)
    stale_bars: int = Field(default=3, gt=0)
    # volume has the shape of a U within each session: a window of bars sees a shift every day
    severities: Mapping[str, Severity] = Field(default_factory=lambda: IGNORED_WITHIN_SESSIONS)

    @field_validator("severities")
    @classmethod
    def _volume_shift_stays_ignored(cls, severities: Mapping[str, Severity]) -> Mapping[str, Severity]:
        return MappingProxyType({**IGNORED_WITHIN_SESSIONS, **severities})


class TypeRules(BaseModel):
    """What one security type changes, by length of bars."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    daily: QualityRules | None = None
    intraday: QualityRules | None = None


class DataQuality(BaseModel):
    """The whole of ``data_quality.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    daily: QualityRules = Field(default_factory=QualityRules)
    intraday: IntradayRules = Field(default_factory=IntradayRules)
    security_types: Mapping[SecurityType, TypeRules] = Field(default_factory=lambda: MappingProxyType({}))
    feeds: Mapping[str, QualityRules] = Field(default_factory=lambda: MappingProxyType({}))

    def rules_for(
        self, bar_size: BarSize, *, security_type: SecurityType = "STK", feed: str | None = None
    ) -> QualityRules:
        """The rules of a feed's bars of one security type."""
        is_daily = bar_size == "1 day"
        base: QualityRules = self.daily if is_daily else self.intraday
        of_type = self.security_types.get(security_type, TypeRules())
        own = self.feeds.get(feed) if feed is not None else None
        return base.with_changes(of_type.daily if is_daily else of_type.intraday).with_changes(own)

    def revision_limits(self, feed: Feed, instruments: Mapping[str, Instrument]) -> dict[str, float]:
        """By symbol of ``feed``, how far a value may be from the one that is stored, as a fraction of it."""
        return {
            symbol: self.rules_for(
                feed.bar_size, security_type=instruments[symbol].security_type, feed=feed.name
            ).revision_pct
            / 100
            for symbol in feed.symbols
        }
