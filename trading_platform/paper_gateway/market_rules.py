"""Market rules: which prices a contract takes, and the id under which a client asks for that."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.price_grid import PriceGrid, PriceStep
from trading_platform.paper_gateway.model import Contract

PENNY_RULE = 26
"""IBKR's rule of one cent at every price."""

SUB_PENNY_RULE = 612
"""Cents from one dollar on, hundredths of a cent below: what SEC Rule 612 allows US stocks. The id is ours."""

_NAMED = {
    PENNY_RULE: PriceGrid.uniform(Decimal("0.01")),
    SUB_PENNY_RULE: PriceGrid((PriceStep(Decimal(0), Decimal("0.0001")), PriceStep(Decimal(1), Decimal("0.01")))),
}


def market_rule_id(contract: Contract) -> int:
    """The id of the contract's market rule.

    Where none is named, the id spells the one increment, so that the gateway needs no table: 5005 is 5 × 10⁻⁵.
    """
    if contract.market_rule:
        return contract.market_rule
    if contract.min_tick == Decimal("0.01"):
        return PENNY_RULE
    _, digits, exponent = contract.min_tick.normalize().as_tuple()
    return -int(exponent) * 1000 + int("".join(map(str, digits)))


def grid_of_rule(rule_id: int) -> PriceGrid | None:
    """The price increments of a market rule, None for an id that is none of ours."""
    if rule_id in _NAMED:
        return _NAMED[rule_id]
    exponent, mantissa = divmod(rule_id, 1000)
    if rule_id < 0 or mantissa == 0 or exponent > 12:
        return None
    return PriceGrid.uniform(Decimal(mantissa).scaleb(-exponent))


def grid_of(contract: Contract) -> PriceGrid:
    """The prices the contract takes."""
    return _NAMED.get(contract.market_rule) or PriceGrid.uniform(contract.min_tick)
