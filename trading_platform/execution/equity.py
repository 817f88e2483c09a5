"""Equity from fills beside the broker's: whether the account is worth what baseline, fills and prices come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import pandas as pd

from trading_platform.brokers.base import Broker, BrokerConnectionError, BrokerError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import AccountSummary, Quote
from trading_platform.domain.portfolio.cash import LAG
from trading_platform.storage.ledger import Ledger

PRICE_MOVE = Decimal("0.001")
"""Share of a price that it may have moved between the broker's valuation and our quote, if its spread is no wider."""
RECENT = timedelta(days=7)
"""How long cash that fills do not explain is warned of. It stays in the table for ever."""
CURRENCY = "USD"


@dataclass(frozen=True)
class EquityAgreement:
    """The account's equity from fills and at the broker, USD.

    ``from_fills`` is the baseline's cash, what fills and flows from outside did to it, and the fills' positions at
    the quotes. ``tolerance`` is what the quotes leave open. ``obstacles`` say why the two can't be compared.
    """

    from_fills: Decimal
    at_broker: Decimal
    tolerance: Decimal
    obstacles: tuple[str, ...]

    @property
    def difference(self) -> Decimal:
        """The broker's less ours."""
        return self.at_broker - self.from_fills

    @property
    def is_comparable(self) -> bool:
        """Whether every number that the comparison needs was there."""
        return not self.obstacles

    @property
    def is_agreed(self) -> bool:
        """Whether the difference is within what the quotes leave open."""
        return self.is_comparable and abs(self.difference) <= self.tolerance


def compare_equity(
    ledger: Ledger, broker: Broker, summary: AccountSummary, instruments: Mapping[str, Instrument]
) -> tuple[EquityAgreement, dict[str, Decimal]]:
    """Value the positions that fills sum up to, and compare with ``summary``. Returns the marks used too.

    Raises:
        BrokerConnectionError: the connection was lost while quotes were asked for.
    """
    positions = ledger.positions_from_fills(summary.account)
    obstacles = [] if summary.currency == CURRENCY else [f"the account's base currency is {summary.currency}, not USD"]
    total, tolerance = summary.total_cash, Decimal("0.01")
    marks: dict[str, Decimal] = {}
    for symbol, quantity in positions.items():
        instrument = instruments.get(symbol)
        if instrument is not None and instrument.currency != CURRENCY:
            obstacles.append(f"{symbol} is quoted in {instrument.currency}, not USD")
            continue
        quote = _quote(broker, instrument) if instrument is not None else None
        if quote is None or quote.last is None:
            obstacles.append(f"{symbol} has no price")
            continue
        marks[symbol] = quote.last
        spread = quote.ask - quote.bid if quote.ask is not None and quote.bid is not None else Decimal(0)
        total += quantity * quote.last
        tolerance += abs(quantity) * max(spread, quote.last * PRICE_MOVE)
    is_off = abs(summary.net_liquidation - total) > tolerance
    if is_off and ledger.fills(summary.account, since=summary.ts_utc - LAG):
        obstacles.append("there are fills of the last three minutes, which the broker's figures may not have yet")
    return EquityAgreement(total, summary.net_liquidation, tolerance, tuple(obstacles)), marks


def recent_flows(performance: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """Readings of the last seven days with cash that no fill explains."""
    recent = performance[performance["ts_utc"] > pd.Timestamp(now - RECENT)]
    return recent[recent["external_flow_usd"] != 0]


def _quote(broker: Broker, instrument: Instrument) -> Quote | None:
    try:
        return broker.quote(instrument)
    except BrokerConnectionError:
        raise
    except BrokerError:
        return None
