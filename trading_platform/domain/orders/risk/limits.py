"""The numbers risk controls hold orders to. Written in ``risk.yaml`` only; read by ``specs.loader``.

:class:`Limits` exists twice at every decision: once for the account (:class:`AccountLimits`), held against everything
in it, and once for the strategy, held against what is the strategy's. A strategy's limits are the account's with
the ones its section of the file tightens; see :meth:`RiskLimits.for_strategy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field

_LARGER_IS_TIGHTER = frozenset(
    {
        "duplicate_window_seconds",
        "no_orders_after_open_minutes",
        "no_orders_before_close_minutes",
        "close_order_cutoff_minutes",
        "loss_pause_minutes",
    }
)


class Limits(BaseModel):
    """Limits that account and strategies share. The defaults are what holds where ``risk.yaml`` says nothing.

    Money is USD; percentages are of the account's equity unless said otherwise. ``allowed_symbols`` unset allows
    all; ``restricted_symbols`` wins over it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_order_quantity: Decimal = Field(default=Decimal(20_000), gt=0)
    max_order_notional_usd: Decimal = Field(default=Decimal(50_000), gt=0)
    max_position_quantity: Decimal = Field(default=Decimal(50_000), gt=0)
    max_position_notional_usd: Decimal = Field(default=Decimal(100_000), gt=0)
    max_gross_exposure_usd: Decimal = Field(default=Decimal(500_000), gt=0)
    max_net_exposure_usd: Decimal = Field(default=Decimal(500_000), gt=0)
    max_concentration_pct: Decimal = Field(default=Decimal(20), gt=0)
    max_price_deviation_pct: Decimal = Field(default=Decimal(5), gt=0, lt=100)
    max_last_price_deviation_pct: Decimal = Field(default=Decimal(5), gt=0, lt=100)
    max_limit_price_deviation_pct: Decimal = Field(default=Decimal(5), gt=0, lt=100)
    max_exit_deviation_pct: Decimal = Field(default=Decimal(20), gt=0, lt=100)
    max_price_age_seconds: int = Field(default=120, gt=0)
    max_signal_age_seconds: int = Field(default=900, gt=0)
    max_bar_lag_seconds: int = Field(default=120, ge=0)
    max_open_orders: int = Field(default=50, gt=0)
    max_orders_per_minute: int = Field(default=60, gt=0)
    max_orders_per_day: int = Field(default=1_000, gt=0)
    duplicate_window_seconds: int = Field(default=60, ge=0)
    no_orders_after_open_minutes: int = Field(default=0, ge=0)
    no_orders_before_close_minutes: int = Field(default=1, ge=0)
    close_order_cutoff_minutes: int = Field(default=10, ge=0)
    max_consecutive_losses: int = Field(default=5, gt=0)
    loss_pause_minutes: int = Field(default=60, gt=0)
    is_short_allowed: bool = False
    restricted_symbols: frozenset[str] = frozenset()
    allowed_symbols: frozenset[str] | None = None


class AccountLimits(Limits):
    """The account's limits: the shared ones and those that only make sense for all strategies together.

    ``max_leverage`` is gross exposure over equity. The drawdown is measured from the highest equity of the last
    ``drawdown_window_days``. ``is_what_if_asked``: one more message to the broker per order that opens.
    """

    max_leverage: Decimal = Field(default=Decimal(1), gt=0)
    max_sector_pct: Decimal = Field(default=Decimal(50), gt=0)
    max_daily_loss_pct: Decimal = Field(default=Decimal(3), gt=0, lt=100)
    max_drawdown_pct: Decimal = Field(default=Decimal(15), gt=0, lt=100)
    drawdown_window_days: int = Field(default=365, gt=0)
    is_what_if_asked: bool = True


@dataclass(frozen=True)
class LooserLimit:
    """A strategy's limit that would permit what the account's forbids."""

    field: str
    account_value: str
    strategy_value: str


class RiskLimits(BaseModel):
    """The whole of ``risk.yaml``. A strategy's section names only what it tightens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: AccountLimits = AccountLimits()
    strategies: Mapping[str, Limits] = Field(default_factory=lambda: MappingProxyType({}))

    def for_strategy(self, name: str) -> Limits:
        """The limits of one strategy: its own where its section names them, otherwise the account's.

        Restricted symbols of account and strategy add up.
        """
        shared = {field: getattr(self.account, field) for field in Limits.model_fields}
        own = self.strategies.get(name)
        if own is None:
            return Limits(**shared)
        named = {field: getattr(own, field) for field in own.model_fields_set}
        restricted = self.account.restricted_symbols | own.restricted_symbols
        return Limits(**(shared | named | {"restricted_symbols": restricted}))

    def looser_limits(self, name: str) -> tuple[LooserLimit, ...]:
        """What the strategy's section would loosen; it must be empty."""
        own = self.strategies.get(name)
        if own is None:
            return ()
        pairs = {field: (getattr(self.account, field), getattr(own, field)) for field in own.model_fields_set}
        return tuple(
            LooserLimit(field, _written(pairs[field][0]), _written(pairs[field][1]))
            for field in Limits.model_fields
            if field in pairs and _is_looser(field, pairs[field][1], pairs[field][0])
        )


def _is_looser(field: str, strategy: object, account: object) -> bool:
    if field == "restricted_symbols":
        return False  # they add up
    if field == "allowed_symbols":
        if account is None:
            return False
        return strategy is None or not _symbols(strategy) <= _symbols(account)
    if field in _LARGER_IS_TIGHTER:
        return Decimal(str(strategy)) < Decimal(str(account))
    if isinstance(strategy, bool):
        return strategy and not account
    return Decimal(str(strategy)) > Decimal(str(account))


def _symbols(value: object) -> frozenset[str]:
    return value if isinstance(value, frozenset) else frozenset()


def _written(value: object) -> str:
    if value is None:
        return "all symbols"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "none"
    return format(value, "f") if isinstance(value, Decimal) else str(value).lower()
