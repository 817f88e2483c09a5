"""What all sessions of one gateway share: the market, the venue, the clock, the faults, and each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.contracts import ContractBook
from trading_platform.paper_gateway.errors import refuse_ambiguous_contract, refuse_invalid, refuse_unknown_contract
from trading_platform.paper_gateway.faults import Faults
from trading_platform.paper_gateway.market.market import Market
from trading_platform.paper_gateway.matching import Venue
from trading_platform.paper_gateway.messages.contracts import ContractQuery
from trading_platform.paper_gateway.model import Announcement, Contract, Executed, OrderChanged
from trading_platform.paper_gateway.pacing import HistoryPacing

if TYPE_CHECKING:
    from trading_platform.paper_gateway.sessions import Session


@dataclass
class Hub:
    """The shared state of one gateway; lives on the gateway's loop."""

    config: GatewayConfig
    now: Callable[[], datetime]
    contracts: ContractBook
    market: Market
    venue: Venue
    faults: Faults
    history_pacing: HistoryPacing = field(init=False)
    sessions: dict[int, Session] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.history_pacing = HistoryPacing(self.config.history_rules)

    def find(self, query: ContractQuery) -> list[Contract]:
        """Contracts that fit a description.

        Raises:
            RequestError: 321, the description names neither an id nor a security type.
        """
        if not query.con_id and not query.security_type:
            refuse_invalid("Please enter a valid security type")
        return self.contracts.find(
            con_id=query.con_id,
            symbol=query.symbol,
            security_type=query.security_type,
            currency=query.currency,
            exchange=query.exchange,
            primary_exchange=query.primary_exchange,
            local_symbol=query.local_symbol,
            trading_class=query.trading_class,
        )

    def one(self, query: ContractQuery) -> Contract:
        """The one contract that fits a description.

        Raises:
            RequestError: 200, none or several fit; 321, see ``find``.
        """
        found = self.find(query)
        if not found:
            refuse_unknown_contract()
        if len(found) > 1:
            refuse_ambiguous_contract(query.symbol)
        return found[0]

    def price_of(self, contract: Contract) -> Decimal:
        """The last price of a contract, 0 where there is none yet."""
        book = self.market.top_of_book(contract, self.now())
        return book.last if book else Decimal(0)

    def next_order_id(self, client_id: int) -> int:
        """The next valid order id of a client, or what a fault makes of it."""
        rolled_back = self.faults.rolled_back_order_id
        return self.venue.next_order_id(client_id) if rolled_back is None else rolled_back

    def check_account(self, account: str) -> None:
        """Refuse any account but ours.

        Raises:
            RequestError: 321.
        """
        if account not in ("", self.venue.account):
            refuse_invalid(f"Invalid account code '{account}'.")

    def publish(self, announcements: Iterable[Announcement]) -> None:
        """Tell every session what it is entitled to hear."""
        news = list(announcements)
        if news and self.faults.is_status_first:
            news = _statuses_first(news)
        for session in list(self.sessions.values()) if news else ():
            session.announce(news)

    def step(self, *, is_forced: bool = False) -> None:
        """Let orders meet the market as it is now, and refresh subscriptions."""
        self.publish(self.venue.step())
        for session in list(self.sessions.values()):
            session.refresh(is_forced=is_forced)


def _statuses_first(news: list[Announcement]) -> list[Announcement]:
    """Move the executions of an order behind the last change of that order."""
    held = [item for item in news if isinstance(item, Executed)]
    rest: list[Announcement] = [item for item in news if not isinstance(item, Executed)]
    for execution in held:
        changes = [
            index
            for index, item in enumerate(rest)
            if isinstance(item, OrderChanged | Executed) and item.order.perm_id == execution.order.perm_id
        ]
        rest.insert(changes[-1] + 1 if changes else len(rest), execution)
    return rest
