"""Requests about contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trading_platform.domain.calendars import get_calendar
from trading_platform.paper_gateway.errors import refuse_invalid, refuse_unknown_contract
from trading_platform.paper_gateway.market_rules import grid_of_rule
from trading_platform.paper_gateway.messages import contracts as messages
from trading_platform.paper_gateway.messages.ids import Incoming
from trading_platform.paper_gateway.spans import trading_hours

if TYPE_CHECKING:
    from trading_platform.paper_gateway.sessions import Session
    from trading_platform.paper_gateway.wire import FieldReader


def contract_details(session: Session, reader: FieldReader) -> None:
    """Describe every contract that fits."""
    reader.skip()  # version
    request_id = reader.request_id()
    query = messages.ContractQuery.read(reader)
    found = session.hub.find(query)
    if not found:
        refuse_unknown_contract()
    for contract in found:
        hours = trading_hours(get_calendar(contract.calendar), session.hub.now(), contract.time_zone)
        session.send(messages.contract_details(request_id, contract, query.exchange, hours))
    session.send(messages.contract_details_end(request_id))


def matching_symbols(session: Session, reader: FieldReader) -> None:
    """Find contracts whose symbol starts with, or whose name contains, the pattern."""
    request_id, pattern = reader.request_id(), reader.text().strip()
    if not pattern:
        refuse_invalid("Please enter a pattern")
    session.send(messages.symbol_samples(request_id, session.hub.contracts.matching(pattern)))


def market_rule(session: Session, reader: FieldReader) -> None:
    """Tell the price increments of a market rule."""
    rule_id = reader.integer()
    grid = grid_of_rule(rule_id)
    if grid is None:
        refuse_invalid(f"Invalid market rule id {rule_id}")
    session.send(messages.market_rule(rule_id, grid))


HANDLERS = {
    Incoming.REQ_CONTRACT_DETAILS: contract_details,
    Incoming.REQ_MATCHING_SYMBOLS: matching_symbols,
    Incoming.REQ_MARKET_RULE: market_rule,
}
