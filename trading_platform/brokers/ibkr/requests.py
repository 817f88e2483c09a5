"""What can be asked of a connection, as coroutines for the loop thread. Every answer is fresh."""

# mypy: untyped-calls-exclude=ib_insync

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

from ib_insync.objects import BarDataList, ExecutionFilter
from ib_insync.util import formatIBDatetime

from trading_platform.brokers.base import NoDataError, UnknownInstrumentError
from trading_platform.brokers.ibkr import translate
from trading_platform.brokers.ibkr.connection import Connection
from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.orders.model import AccountSummary, BrokerOrder, Execution, Position, Quote
from trading_platform.domain.price_grid import PriceStep

if TYPE_CHECKING:
    from ib_insync.objects import BarData, Fill
    from ib_insync.ticker import Ticker

_LIVE_OR_ELSE_DELAYED = 3
_USER_INFO_SINCE = 167
"""The first server version that knows the request. Older ones are told apart by their account alone."""


async def server_time(connection: Connection) -> datetime:
    """The gateway's clock, tz-aware UTC."""
    moment: datetime = await connection.ask_keyed("server time", "currentTime", connection.client.reqCurrentTime)
    return moment


async def instrument_details(connection: Connection, instrument: Instrument) -> InstrumentDetails:
    """Resolve one instrument, once per connection: what a contract is does not change while one is up.

    Raises:
        UnknownInstrumentError: no contract fits, or several do, or the one of its id has another ticker.
    """
    known = connection.details.get(instrument)
    if known is not None:
        return known
    contract = translate.to_contract(instrument)
    what = f"contract details of {instrument.symbol}"
    found = await connection.ask(
        what, lambda request_id: connection.client.reqContractDetails(request_id, contract), contract=contract
    )
    if len(found) != 1:
        names = ", ".join(f"{item.contract.primaryExchange}/{item.contract.currency}" for item in found) or "none"
        msg = (
            f"{what}: {len(found)} contracts fit ({names}): give a symbol that {instrument.exchange} lists, or a "
            "primary_exchange"
        )
        raise UnknownInstrumentError(msg)
    if found[0].contract.symbol != instrument.broker_symbol:
        msg = (
            f"{what}: contract {instrument.con_id} is {found[0].contract.symbol} at the broker, and universe.yaml says "
            f"{instrument.broker_symbol}: has its ticker changed? Correct tickers or con_id"
        )
        raise UnknownInstrumentError(msg)
    rule_id = translate.market_rule_id(found[0])
    steps = await market_rule(connection, rule_id) if rule_id is not None else ()
    details = connection.details[instrument] = translate.to_details(instrument, found, steps)
    return details


async def whose_prices(connection: Connection) -> str:
    """What tells the account and its market data from others: of a paper market another name if its data is another."""
    async with connection.brand_lock:
        if connection.brand is None:
            if connection.client.serverVersion() < _USER_INFO_SINCE:
                connection.brand = ""
            else:
                connection.brand = str(await connection.ask("user info", connection.client.reqUserInfo))
    return f"{connection.account} {connection.brand}"


async def market_rule(connection: Connection, rule_id: int) -> tuple[PriceStep, ...]:
    """How the price increment grows with the price; asked once per connection and rule."""
    if rule_id not in connection.market_rules:
        key = f"marketRule-{rule_id}"
        answer = await connection.ask_keyed(
            f"market rule {rule_id}", key, lambda: connection.client.reqMarketRule(rule_id)
        )
        connection.market_rules[rule_id] = translate.to_price_steps(rule_id, answer)
    return connection.market_rules[rule_id]


async def historical_bars(
    connection: Connection,
    instrument: Instrument,
    *,
    end: datetime | None,
    duration: str,
    bar_size: str,
    regular_hours_only: bool,
    is_adjusted: bool = False,
) -> list[BarData]:
    """Bars as the library delivers them, at least one.

    Raises:
        NoDataError: there are none.
        ValueError: ``end`` has no time zone.
    """
    if end is not None and end.tzinfo is None:
        msg = f"the end of bars, {end!r}, has no time zone: give a tz-aware instant"
        raise ValueError(msg)
    contract = translate.to_contract(instrument)
    what = f"{bar_size} bars of {instrument.symbol} over {duration} to {end.isoformat() if end else 'now'}"
    bars: list[BarData] = await connection.ask(
        what,
        lambda request_id: connection.client.reqHistoricalData(
            request_id,
            contract,
            formatIBDatetime(end),
            duration,
            bar_size,
            translate.what_to_show(instrument, is_adjusted=is_adjusted),
            regular_hours_only,
            2,
            False,
            [],
        ),
        contract=contract,
        container=BarDataList(),
        cancel=connection.client.cancelHistoricalData,
    )
    if not bars:
        msg = f"{what}: IBKR answered with no bar at all"
        raise NoDataError(msg)
    return bars


async def quote(connection: Connection, instrument: Instrument) -> Quote:
    """A snapshot: live where subscribed, else delayed.

    ``ts_utc`` is the time of the last trade as the server tells it (tick type 45, delayed 88), since the
    arrival time of the message is the wall clock of this machine and says nothing about the price's age.
    Only when the server gives none it is the server's clock. A snapshot at IBKR ends after up to 11 seconds:
    it is cut short as soon as bid, ask, last and the trade's time are there.
    """
    client, wrapper = connection.client, connection.wrapper
    connection.require_usable()
    if not connection.has_market_data_type:
        client.reqMarketDataType(_LIVE_OR_ELSE_DELAYED)
        connection.has_market_data_type = True
    contract = translate.to_contract(instrument)
    request_id = client.getReqId()
    ticker = wrapper.startTicker(request_id, contract, "snapshot")
    future = wrapper.startReq(request_id, contract)

    def finish_early(_ticker: Ticker) -> None:
        prices = (ticker.bid, ticker.ask, ticker.last)
        is_complete = all(translate.to_price(price) is not None for price in prices)
        if is_complete and request_id in wrapper.last_trade_times and not future.done():
            future.set_result(None)
            client.cancelMktData(request_id)

    ticker.updateEvent.connect(finish_early, keep_ref=True)
    try:
        client.reqMktData(request_id, contract, "", True, False, [])
        await connection.answer(future, f"quote of {instrument.symbol}")
        moment = wrapper.last_trade_times.get(request_id)
    finally:
        wrapper.endTicker(ticker, "snapshot")
        # the library keeps tickers by the identity of their contract: a later contract could be taken for this one
        wrapper.tickers.pop(id(contract), None)
        wrapper.reqId2Ticker.pop(request_id, None)
        wrapper.last_trade_times.pop(request_id, None)
    answer = translate.to_quote(instrument.symbol, ticker, moment or await server_time(connection))
    if answer.bid is None and answer.ask is None and answer.last is None:
        msg = f"quote of {instrument.symbol}: IBKR has no price at all; check the market data subscriptions"
        raise NoDataError(msg)
    return answer


async def open_orders(connection: Connection) -> list[BrokerOrder]:
    """Open orders of the account, of every API client."""
    client, wrapper = connection.client, connection.wrapper

    def send() -> None:
        wrapper.open_orders = {}
        wrapper.statuses.clear()
        client.reqAllOpenOrders()

    try:
        await connection.ask_keyed("open orders", "openOrders", send)
        raw = list((wrapper.open_orders or {}).values())
    finally:
        wrapper.open_orders = None
    connection.knows_open_orders = True
    return [
        translate.to_open_order(item, wrapper.statuses.get(item.order.permId), connection.config.names)
        for item in raw
        if item.order.account == connection.account
    ]


async def completed_orders(connection: Connection) -> list[BrokerOrder]:
    """Completed orders of the account, also those not placed through the API."""
    client, wrapper = connection.client, connection.wrapper

    def send() -> None:
        wrapper.completed_orders = []
        client.reqCompletedOrders(False)

    try:
        await connection.ask_keyed("completed orders", "completedOrders", send)
        raw = wrapper.completed_orders or []
    finally:
        wrapper.completed_orders = None
    return [
        translate.to_completed_order(item, connection.config.names)
        for item in raw
        if item.order.account == connection.account
    ]


async def executions(connection: Connection) -> list[Execution]:
    """Executions of the account with their commissions, waiting briefly for reports that are still to come."""
    wrapper = connection.wrapper
    wanted = ExecutionFilter(acctCode=connection.account)
    fills: list[Fill] = await connection.ask(
        "executions", lambda request_id: connection.client.reqExecutions(request_id, wanted)
    )
    fills = [fill for fill in fills if fill.execution.acctNumber == connection.account]
    await _commissions(connection, {fill.execution.execId for fill in fills})
    return translate.without_corrected(
        translate.to_execution(fill, wrapper.commissions.get(fill.execution.execId), connection.config.names)
        for fill in fills
    )


async def _commissions(connection: Connection, execution_ids: set[str]) -> None:
    wrapper = connection.wrapper
    loop = asyncio.get_running_loop()
    deadline = loop.time() + connection.config.commission_wait_seconds
    while not execution_ids <= wrapper.commissions.keys() and connection.is_open:
        wrapper.commission_arrived.clear()
        try:
            await asyncio.wait_for(wrapper.commission_arrived.wait(), deadline - loop.time())
        except asyncio.TimeoutError:
            return


async def positions(connection: Connection) -> list[Position]:
    """The account's holdings; those of quantity zero are left out."""
    client = connection.client
    rows = await connection.ask_keyed("positions", "positions", client.reqPositions)
    client.cancelPositions()
    names = connection.config.names
    return [translate.to_position(row, names) for row in rows if row.account == connection.account and row.position]


async def account_summary(connection: Connection) -> AccountSummary:
    """The account's money figures.

    Raises:
        BrokerError: a figure is missing.
    """
    # the library keeps one summary for all requests
    async with connection.summary_lock:
        values = await _summary_values(connection)
    return translate.to_account_summary(connection.account, values, await server_time(connection))


async def _summary_values(connection: Connection) -> dict[str, tuple[str, str]]:
    client, wrapper = connection.client, connection.wrapper
    request_ids: list[int] = []

    def send(request_id: int) -> None:
        request_ids.append(request_id)
        wrapper.acctSummary.clear()
        client.reqAccountSummary(request_id, "All", ",".join(translate.SUMMARY_TAGS))

    try:
        await connection.ask("account summary", send)
        return {
            row.tag: (row.value, row.currency)
            for row in wrapper.acctSummary.values()
            if row.account == connection.account
        }
    finally:
        if connection.is_open:
            # IBKR allows two subscriptions at a time
            for request_id in request_ids:
                client.cancelAccountSummary(request_id)
