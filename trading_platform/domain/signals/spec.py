"""What a strategy spec file may say. Pure: the files are read by ``trading_platform.specs.loader``."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trading_platform.domain.calendars import ALWAYS_OPEN, DAILY_CALENDAR, calendar_slug
from trading_platform.domain.orders.model import CLOSE_ORDERS, OrderType, TimeInForce
from trading_platform.domain.orders.risk.limits import AccountLimits, Limits

BarSize = Literal["1 min", "5 mins", "15 mins", "1 hour", "1 day"]
BAR_MINUTES: dict[BarSize, int] = {"1 min": 1, "5 mins": 5, "15 mins": 15, "1 hour": 60, "1 day": 1440}
DAILY = "daily"


def daily_feed(calendar: str) -> str:
    """Name of the daily bars that the strategies of one calendar share: ``daily``, ``daily_xlon``, ``daily_24_7``.

    A function of the calendar alone, so that another strategy never renames the assets of those that are there.
    """
    return DAILY if calendar == DAILY_CALENDAR else f"{DAILY}_{calendar_slug(calendar)}"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


SizingMethod = Literal[
    "percent_of_equity", "fixed_notional", "fixed_quantity", "volatility_target", "atr_risk", "fractional_kelly"
]
_NEEDED: dict[SizingMethod, tuple[str, ...]] = {
    "fixed_notional": ("notional_usd",),
    "fixed_quantity": ("quantity",),
    "volatility_target": ("target_volatility",),
    "atr_risk": ("risk_fraction",),
    "fractional_kelly": ("payoff_ratio",),
}


class SizingSpec(_Strict):
    """How a target weight becomes a quantity: ``equity_fraction`` of the account's equity is the strategy's capital.

    ``percent_of_equity`` invests the capital; ``volatility_target``, ``atr_risk`` and ``fractional_kelly`` invest what
    their formula says and at most the capital. Fractions are of the account's equity, volatilities are annualised
    fractions. The features are computed on the strategy's own bars.
    """

    method: SizingMethod = "percent_of_equity"
    equity_fraction: Decimal = Field(default=Decimal("0.10"), gt=0, le=1)
    notional_usd: Decimal | None = Field(default=None, gt=0)
    quantity: Decimal | None = Field(default=None, gt=0)
    target_volatility: Decimal | None = Field(default=None, gt=0, le=2)
    volatility_feature: str = Field(default="volatility_20", pattern=r"^volatility_([2-9]|[1-9]\d+)$")
    risk_fraction: Decimal | None = Field(default=None, gt=0, lt=1)
    atr_multiple: Decimal = Field(default=Decimal(2), gt=0)
    atr_feature: str = Field(default="atr_14", pattern=r"^atr_([2-9]|[1-9]\d+)$")
    payoff_ratio: Decimal | None = Field(default=None, gt=0)
    kelly_fraction: Decimal = Field(default=Decimal("0.25"), gt=0, le=1)
    on_limit: Literal["cut", "reject"] = "cut"

    @model_validator(mode="after")
    def _has_what_its_method_needs(self) -> SizingSpec:
        for field in _NEEDED.get(self.method, ()):
            if getattr(self, field) is None:
                msg = f"sizing method {self.method} needs {field}"
                raise ValueError(msg)
        return self

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that the method reads."""
        if self.method == "volatility_target":
            return (self.volatility_feature,)
        return (self.atr_feature,) if self.method == "atr_risk" else ()


class BracketSpec(_Strict):
    """The exits that an entry takes with it, in percent of the price the entry is placed at.

    ``stop_pct`` is a stop order, ``trail_pct`` a trailing stop; one of them. Exits outlive the entry's session
    unless ``time_in_force`` is DAY.
    """

    target_pct: Decimal = Field(gt=0, lt=100)
    stop_pct: Decimal | None = Field(default=None, gt=0, lt=100)
    trail_pct: Decimal | None = Field(default=None, gt=0, lt=100)
    time_in_force: Literal["DAY", "GTC"] = "GTC"

    @model_validator(mode="after")
    def _has_one_stop(self) -> BracketSpec:
        if (self.stop_pct is None) == (self.trail_pct is None):
            msg = "a bracket needs stop_pct or trail_pct, and not both: one order protects the holding"
            raise ValueError(msg)
        return self


class OrderSpec(_Strict):
    """The kind of order a strategy sends.

    A limit is placed ``limit_offset_bps`` beyond the touch (of a stop-limit: beyond the stop), a stop
    ``stop_offset_bps`` away from it, above the ask for a buy and below the bid for a sale. A trailing stop follows at
    ``trail_percent``. GTD ends ``good_till_minutes`` after the decision. ``replace_working`` lets a tick cancel the
    strategy's own working order where it no longer fits, and send another.
    """

    order_type: OrderType = "MKT"
    time_in_force: TimeInForce = "DAY"
    limit_offset_bps: Decimal = Field(default=Decimal(5), ge=0)
    stop_offset_bps: Decimal | None = Field(default=None, gt=0, lt=10_000)
    trail_percent: Decimal | None = Field(default=None, gt=0, lt=100)
    good_till_minutes: int | None = Field(default=None, gt=0)
    bracket: BracketSpec | None = None
    replace_working: bool = False
    min_trade_notional_usd: Decimal = Field(default=Decimal(100), ge=0)

    @model_validator(mode="after")
    def _makes_sense(self) -> OrderSpec:
        for is_wrong, msg in self._faults():
            if is_wrong:
                raise ValueError(msg)
        return self

    def _faults(self) -> tuple[tuple[bool, str], ...]:
        kind, lasts = self.order_type, self.time_in_force
        is_stop, is_close = kind in ("STP", "STP LMT"), kind in CLOSE_ORDERS
        return (
            (is_stop and self.stop_offset_bps is None, f"order_type {kind} needs stop_offset_bps"),
            (not is_stop and self.stop_offset_bps is not None, "stop_offset_bps is for order_type STP and STP LMT"),
            (kind == "TRAIL" and self.trail_percent is None, "order_type TRAIL needs trail_percent"),
            (kind != "TRAIL" and self.trail_percent is not None, "trail_percent is for order_type TRAIL"),
            (lasts == "GTD" and self.good_till_minutes is None, "time_in_force GTD needs good_till_minutes"),
            (lasts != "GTD" and self.good_till_minutes is not None, "good_till_minutes is for time_in_force GTD"),
            (is_close and lasts != "DAY", f"order_type {kind} trades in today's close: time_in_force must be DAY"),
            (
                lasts == "IOC" and kind not in ("MKT", "LMT"),
                f"order_type {kind} waits and time_in_force IOC does not: use DAY, GTC or GTD",
            ),
            (
                self.bracket is not None and (is_close or kind == "TRAIL"),
                f"a bracket's entry can't be {kind}: use MKT, LMT, STP or STP LMT",
            ),
            (
                self.bracket is not None and lasts == "IOC",
                "a bracket's entry can't be IOC: what it does not fill at once would leave exits of the wrong size",
            ),
            (
                self.bracket is not None and self.replace_working,
                "replace_working is not for brackets: their entry is called off when the signal ends it",
            ),
            (
                self.replace_working and (lasts == "IOC" or is_close),
                "replace_working needs an order that works on: not IOC, MOC or LOC",
            ),
        )


class StrategySpec(_Strict):
    """One agent: a strategy class with its universe, bars, cadence and limits.

    ``strategy`` is the module name below ``trading_platform.domain.signals.strategies``.
    ``cadence_minutes`` is how often it decides; with daily bars it decides once per session and the
    field must be absent. ``limits`` (the strategy's) and ``account_limits`` (everybody's) are not written in a
    strategy's file: the loader fills them in from ``risk.yaml``.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,19}$")
    strategy: str
    description: str
    universe: tuple[str, ...] = Field(min_length=1)
    calendar: str = "XNYS"
    bar_size: BarSize
    cadence_minutes: int | None = Field(default=None, gt=0, le=1440)
    history_sessions: int = Field(
        ge=1, le=1000, description="Sessions of bars before the current one that a decision needs."
    )
    parameters: dict[str, float | int | str | bool] = Field(default_factory=dict)
    sizing: SizingSpec = SizingSpec()
    limits: Limits = Limits()
    account_limits: AccountLimits = AccountLimits()
    order: OrderSpec = OrderSpec()
    owner: str = "team:trading"

    @field_validator("universe")
    @classmethod
    def _no_doubles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            msg = f"universe names a symbol twice: {', '.join(value)}"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _cadence_fits_bars(self) -> StrategySpec:
        if self.is_daily and self.cadence_minutes is not None:
            msg = "a strategy on daily bars decides once per session: leave cadence_minutes out"
            raise ValueError(msg)
        if not self.is_daily and self.cadence_minutes is None:
            msg = "an intraday strategy needs cadence_minutes"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _close_exists(self) -> StrategySpec:
        if self.order.order_type in CLOSE_ORDERS and self.calendar == ALWAYS_OPEN:
            msg = f"order_type {self.order.order_type} needs a market that closes: calendar {self.calendar} never does"
            raise ValueError(msg)
        return self

    @property
    def is_daily(self) -> bool:
        """Whether the strategy decides once per session on daily bars."""
        return self.bar_size == "1 day"

    @property
    def feed(self) -> str:
        """Name of the bars it reads: daily strategies of one calendar share a feed, each intraday one has its own."""
        return daily_feed(self.calendar) if self.is_daily else self.name
