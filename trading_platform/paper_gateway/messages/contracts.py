"""Contracts on the wire: the description a client sends, and the details it gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from trading_platform.domain.price_grid import PriceGrid
from trading_platform.paper_gateway.market_rules import market_rule_id
from trading_platform.paper_gateway.messages.ids import Outgoing
from trading_platform.paper_gateway.messages.times import zone_name
from trading_platform.paper_gateway.model import Contract

if TYPE_CHECKING:
    from trading_platform.paper_gateway.wire import Field, FieldReader

INDUSTRY = "Paper market"
"""Tells a client that this is not IBKR: the subcategory then says where the prices come from."""

ORDER_TYPES = "ACTIVETIM,DAY,GTC,GTD,IOC,LMT,LOC,MKT,MOC,OCA,STP,STPLMT,TRAIL,WHATIF"
_ROUTABLE = 3


@dataclass(frozen=True)
class ContractQuery:
    """The contract fields of a request; empty text and 0 mean "not said"."""

    con_id: int
    symbol: str
    security_type: str
    exchange: str
    primary_exchange: str
    currency: str
    local_symbol: str
    trading_class: str

    @classmethod
    def read(cls, reader: FieldReader) -> ContractQuery:
        """Read the twelve contract fields that requests have in common."""
        con_id, symbol, security_type = reader.integer(), reader.text(), reader.text()
        reader.skip(4)  # expiry, strike, right, multiplier: nothing here has them
        return cls(
            con_id=con_id,
            symbol=symbol,
            security_type=security_type,
            exchange=reader.text(),
            primary_exchange=reader.text(),
            currency=reader.text(),
            local_symbol=reader.text(),
            trading_class=reader.text(),
        )


def contract_details(request_id: int, contract: Contract, asked_exchange: str, hours: str) -> list[Field]:
    """One contract's details. ``hours`` are trading hours in TWS's spelling, in the contract's zone."""
    is_stock = contract.security_type == "STK"
    origin = contract.data_origin
    exchanges = dict.fromkeys(filter(None, (contract.exchange, contract.primary_exchange)))
    stock_type = ("ETF" if " ETF" in f" {contract.long_name}" else "COMMON") if is_stock else ""
    return [
        Outgoing.CONTRACT_DETAILS,
        request_id,
        contract.symbol,
        contract.security_type,
        "",  # expiry
        0,  # strike
        "",  # right
        asked_exchange or contract.exchange,
        contract.currency,
        contract.local_symbol,
        contract.trading_class,  # market name
        contract.trading_class,
        contract.con_id,
        contract.min_tick,
        "",  # multiplier
        ORDER_TYPES,
        ",".join(exchanges),
        1,  # price magnifier
        0,  # underlying
        contract.long_name,
        contract.primary_exchange,
        "",  # contract month
        INDUSTRY,
        "Synthetic prices" if "synthetic" in origin.lower() else "Real prices",
        origin,
        zone_name(contract.time_zone),
        hours,
        hours,
        "",  # economic value rule
        "",  # economic value multiplier
        0,  # security ids
        1,  # aggregated group
        "",  # underlying symbol
        "",  # underlying type
        ",".join(str(market_rule_id(contract)) for _ in exchanges),
        "",  # real expiration date
        stock_type,
        contract.min_size,
        contract.size_increment,
        contract.size_increment if contract.security_type != "STK" else Decimal(100),
    ]


def contract_details_end(request_id: int) -> list[Field]:
    """No more contracts for the request."""
    return [Outgoing.CONTRACT_DETAILS_END, 1, request_id]


def symbol_samples(request_id: int, contracts: Sequence[Contract]) -> list[Field]:
    """The answer to a search for matching symbols."""
    fields: list[Field] = [Outgoing.SYMBOL_SAMPLES, request_id, len(contracts)]
    for contract in contracts:
        listed = contract.primary_exchange or contract.exchange
        fields += [contract.con_id, contract.symbol, contract.security_type, listed, contract.currency, 0]
        fields += [contract.long_name, ""]
    return fields


def market_rule(rule_id: int, grid: PriceGrid) -> list[Field]:
    """A market rule: from which price on which increment holds."""
    edges = [field for step in grid.steps for field in (step.low_edge, step.increment)]
    return [Outgoing.MARKET_RULE, rule_id, len(grid.steps), *edges]


def short_contract(contract: Contract, exchange: str, right: str = "") -> list[Field]:
    """Eleven fields: the contract as positions, executions and orders describe it."""
    head: list[Field] = [contract.con_id, contract.symbol, contract.security_type, "", 0, right, ""]
    return [*head, exchange, contract.currency, contract.local_symbol, contract.trading_class]


def tick_request_parameters(request_id: int, contract: Contract) -> list[Field]:
    """Price increment and snapshot permissions, sent before the first tick."""
    return [Outgoing.TICK_REQUEST_PARAMETERS, request_id, contract.min_tick, "9c0001", _ROUTABLE]
