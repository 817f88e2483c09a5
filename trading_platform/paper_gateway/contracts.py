"""The contract book: what the paper market lists, and how a client's description finds it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from functools import cached_property

from trading_platform.paper_gateway.market.listings import LISTINGS, Listing
from trading_platform.paper_gateway.market.market import Market
from trading_platform.paper_gateway.model import Contract

_ALIASES = {"ISLAND": "NASDAQ"}
_DERIVED_IDS = range(1_000_000_000, 2**31 - 1)


class ContractBook:
    """Every contract of one paper market: the well-known ones, and one for each symbol with data.

    They are called what they are called on the day on which the market starts.
    """

    def __init__(self, market: Market) -> None:
        symbols = sorted({*LISTINGS, *market.data.symbols})
        listings = [market.listing(symbol) for symbol in symbols]
        ids = _contract_ids(listings)
        day = market.start.date()
        self._by_id = {
            ids[listing.symbol]: _contract(listing, day, ids[listing.symbol], market.origin_of(listing.symbol))
            for listing in listings
        }
        self._by_symbol: dict[str, list[Contract]] = {}
        for contract in self._by_id.values():
            self._by_symbol.setdefault(contract.symbol, []).append(contract)

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """All contracts, by symbol."""
        return tuple(self._by_id.values())

    @cached_property
    def digest(self) -> str:
        """Of all symbols and where their prices come from: another one wherever a market has other data."""
        origins = sorted((contract.listing, contract.data_origin) for contract in self._by_id.values())
        return hashlib.sha256(repr(origins).encode()).hexdigest()[:16]

    def by_con_id(self, con_id: int) -> Contract | None:
        """The contract with that id; None when there is none."""
        return self._by_id.get(con_id)

    def find(
        self,
        *,
        con_id: int | None = None,
        symbol: str | None = None,
        security_type: str | None = None,
        currency: str | None = None,
        exchange: str | None = None,
        primary_exchange: str | None = None,
        local_symbol: str | None = None,
        trading_class: str | None = None,
    ) -> list[Contract]:
        """The contracts that fit a description, by symbol; None, empty text and 0 mean "not said".

        As in TWS a ``con_id`` decides alone; otherwise everything that is said must fit, in upper or lower
        case. A stock fits the exchange SMART and its primary exchange (NASDAQ is also ISLAND).
        """
        if con_id:
            contract = self._by_id.get(con_id)
            return [] if contract is None else [contract]
        return [
            contract
            for contract in self._candidates(symbol)
            if _fits(security_type, contract.security_type)
            and _fits(currency, contract.currency)
            and _fits(_exchange(exchange), contract.exchange, contract.primary_exchange)
            and _fits(_exchange(primary_exchange), contract.primary_exchange)
            and _fits(local_symbol, contract.local_symbol)
            and _fits(trading_class, contract.trading_class)
        ]

    def _candidates(self, symbol: str | None) -> tuple[Contract, ...]:
        if not symbol:
            return self.contracts
        return tuple(self._by_symbol.get(symbol.upper(), ()))

    def matching(self, pattern: str, limit: int = 16) -> list[Contract]:
        """At most ``limit`` contracts whose symbol begins with ``pattern`` or whose name holds it, best first."""
        wanted = pattern.strip().upper()
        if not wanted:
            return []
        by_symbol = [c for c in self.contracts if c.symbol.startswith(wanted)]
        by_name = [c for c in self.contracts if wanted in c.long_name.upper() and c not in by_symbol]
        by_symbol.sort(key=lambda contract: (len(contract.symbol), contract.symbol))
        return [*by_symbol, *by_name][:limit]


def _fits(said: str | None, *values: str) -> bool:
    return not said or said.upper() in values


def _exchange(name: str | None) -> str | None:
    return _ALIASES.get(name.upper(), name) if name else None


def _contract_ids(listings: Sequence[Listing]) -> dict[str, int]:
    """IBKR's ids where they are known, otherwise a hash of symbol and type: the same at every start."""
    ids = {listing.symbol: listing.con_id for listing in listings if listing.con_id is not None}
    taken = set(ids.values())
    for listing in listings:
        if listing.con_id is None:
            digest = hashlib.sha256(f"{listing.symbol}/{listing.security_type}/{listing.currency}".encode()).digest()
            place = int.from_bytes(digest[:8], "big") % len(_DERIVED_IDS)
            while _DERIVED_IDS[place] in taken:
                place = (place + 1) % len(_DERIVED_IDS)
            ids[listing.symbol] = _DERIVED_IDS[place]
            taken.add(_DERIVED_IDS[place])
    return ids


def _contract(listing: Listing, day: date, con_id: int, data_origin: str) -> Contract:
    ticker = listing.ticker_on(day)
    name = ticker if listing.security_type == "STK" else f"{ticker}.{listing.currency}"
    return Contract(
        con_id=con_id,
        symbol=ticker,
        security_type=listing.security_type,
        exchange=listing.exchange,
        primary_exchange=listing.primary_exchange,
        currency=listing.currency,
        local_symbol=name,
        trading_class="NMS"
        if listing.primary_exchange == "NASDAQ"
        else name
        if listing.security_type == "CASH"
        else ticker,
        long_name=listing.long_name,
        min_tick=listing.min_tick,
        min_size=listing.min_size,
        size_increment=listing.size_increment or listing.min_size,
        calendar=listing.calendar,
        time_zone=listing.time_zone,
        data_origin=data_origin,
        market_rule=listing.market_rule,
        listing=listing.symbol,
    )
