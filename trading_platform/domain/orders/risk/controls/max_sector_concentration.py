"""One sector may not be more than a share of the account's equity."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import QuantityLimit, verdict
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing
from trading_platform.domain.orders.risk.scopes import equity_usd, scopes


class MaxSectorConcentration(QuantityLimit):
    """Refuses what could lift the account's holdings in one sector above ``max_sector_pct`` of equity.

    Unsigned values, pending orders counted as filled where that makes a holding larger. Instruments without a
    sector count as one sector. An order that only reduces passes.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        sector = context.sectors.get(intent.request.symbol, "")
        if is_reducing(intent, context):
            return verdict(self, None, is_reducing=True, sector=sector)
        equity = equity_usd(context)
        _, account = scopes(intent, context)
        book = account.book(intent, context)
        book.require_prices(sector=sector)
        value = book.largest_by_sector[sector]
        limit = context.account_limits.max_sector_pct
        share = value * 100 / equity
        reason = None
        if share > limit:
            reason = f"{sector or 'unclassified'} holdings could reach {share:.2f} % of equity, limit {limit:f} %"
        return verdict(self, reason, sector=sector, sector_pct=round(share, 4), limit_pct=limit, equity_usd=equity)


CONTROL = MaxSectorConcentration()
