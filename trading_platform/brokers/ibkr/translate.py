"""Pure mapping between ``ib_insync``'s objects and the platform's value types.

Numbers: IBKR sends text, the library makes floats of it; ``repr`` of such a float is the text again, so
``Decimal(repr(x))`` carries no binary noise. Unset is 1.797…e308, 2³¹ − 1, NaN or, for prices, ≤ 0.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

from trading_platform.brokers.base import BrokerError, UnknownInstrumentError
from trading_platform.domain.instruments import BrokerNames, Instrument, InstrumentDetails
from trading_platform.domain.orders.model import (
    LIMIT_ORDERS,
    STOP_ORDERS,
    AccountSummary,
    BrokerOrder,
    Execution,
    OrderRequest,
    OrderStatus,
    Position,
    Quote,
    Side,
)
from trading_platform.domain.price_grid import InvalidPriceGridError, PriceGrid, PriceStep

if TYPE_CHECKING:
    import pandas as pd
    from ib_insync import objects
    from ib_insync.contract import Contract, ContractDetails
    from ib_insync.order import Order
    from ib_insync.ticker import Ticker

    from trading_platform.brokers.ibkr.acknowledgement import Acknowledgement
    from trading_platform.brokers.ibkr.session import RawOrder, RawStatus

UTC = timezone.utc
PAPER_INDUSTRY = "Paper market"
SUMMARY_TAGS = ("NetLiquidation", "TotalCashValue", "GrossPositionValue", "AvailableFunds", "BuyingPower")
_UNSET_INTEGER = 2**31 - 1
_DEFAULT_EXCHANGES = {"CRYPTO": "PAXOS", "CASH": "IDEALPRO"}
_WHAT_TO_SHOW = {"STK": "TRADES", "CRYPTO": "AGGTRADES", "CASH": "MIDPOINT"}
_DELAYED_MARKET_DATA = (3, 4)
_AS_THEY_ARE = BrokerNames()
_STATUSES = {
    "ApiPending": OrderStatus.SUBMITTED,
    "PendingSubmit": OrderStatus.SUBMITTED,
    "PreSubmitted": OrderStatus.SUBMITTED,
    "Submitted": OrderStatus.SUBMITTED,
    "PendingCancel": OrderStatus.SUBMITTED,
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELLED,
    "ApiCancelled": OrderStatus.CANCELLED,
}


def is_unset(value: float | None) -> bool:
    """Whether the number is one of IBKR's ways to say nothing."""
    return value is None or not math.isfinite(value) or abs(value) >= sys.float_info.max or value == _UNSET_INTEGER


def to_decimal(value: float) -> Decimal:
    """The decimal number that was on the wire: ``0.1`` becomes ``Decimal("0.1")``, ``5.0`` ``Decimal("5")``."""
    number = Decimal(repr(value))
    return number.quantize(Decimal(1)) if number == number.to_integral_value() and abs(number) < 10**15 else number


def to_optional_decimal(value: float | None) -> Decimal | None:
    """As :func:`to_decimal`, ``None`` for unset."""
    return None if value is None or is_unset(value) else to_decimal(value)


def to_price(value: float | None) -> Decimal | None:
    """As :func:`to_optional_decimal`, and ``None`` for −1 and 0, by which IBKR means that there is no price."""
    number = to_optional_decimal(value)
    return number if number is not None and number > 0 else None


def to_contract(instrument: Instrument) -> Contract:
    """The contract to ask for. Must be called on the loop thread.

    Where its id is known it decides: no order can reach whoever has the ticker now.

    Raises:
        UnknownInstrumentError: the instrument has no ticker.
    """
    from ib_insync.contract import Contract

    if instrument.broker_symbol is None:
        known = ", ".join(map(str, instrument.tickers))
        msg = f"{instrument.symbol} has no ticker today: it had {known}. Add the one it has now to universe.yaml"
        raise UnknownInstrumentError(msg)
    exchange = instrument.exchange
    if exchange == "SMART":
        # smart routing exists for stocks only
        exchange = _DEFAULT_EXCHANGES.get(instrument.security_type, exchange)
    return Contract(
        conId=instrument.con_id or 0,
        secType=instrument.security_type,
        symbol=instrument.broker_symbol,
        exchange=exchange,
        primaryExchange=instrument.primary_exchange,
        currency=instrument.currency,
    )


def what_to_show(instrument: Instrument, *, is_adjusted: bool = False) -> str:
    """TWS's name for trades bars of the instrument; foreign exchange has no trades, only midpoints.

    Raises:
        ValueError: adjusted bars of something else than a stock.
    """
    if is_adjusted:
        if instrument.security_type != "STK":
            msg = f"{instrument.symbol} is no stock: there are no splits and dividends to adjust its bars for"
            raise ValueError(msg)
        return "ADJUSTED_LAST"
    return _WHAT_TO_SHOW[instrument.security_type]


def to_status(raw: str, filled: Decimal, completed_status: str = "", *, is_completed: bool = False) -> OrderStatus:
    """The ledger's word for IBKR's. ``completed_status`` is the free text of a completed order.

    ``Inactive`` means refused once the order is completed; while it is listed as open it may come alive again
    (a short sale that waits for shares), so it is UNKNOWN. A status that isn't known is UNKNOWN, too.
    """
    if raw == "Inactive":
        if not is_completed:
            return OrderStatus.UNKNOWN
        return OrderStatus.CANCELLED if filled > 0 else OrderStatus.BROKER_REJECTED
    status = _STATUSES.get(raw, OrderStatus.UNKNOWN)
    text = completed_status.lower()
    if status is OrderStatus.CANCELLED and "expire" in text:
        return OrderStatus.EXPIRED
    if status is OrderStatus.CANCELLED and "reject" in text and filled == 0:
        return OrderStatus.BROKER_REJECTED
    if status is OrderStatus.SUBMITTED and filled > 0:
        return OrderStatus.PARTIALLY_FILLED
    return status


def to_side(raw: str) -> Side:
    """BUY or SELL, also from an execution's BOT and SLD."""
    if raw in ("BUY", "BOT"):
        return "BUY"
    if raw in ("SELL", "SLD", "SSHORT"):
        return "SELL"
    msg = f"IBKR named the side {raw!r}, which is neither a buy nor a sale"
    raise BrokerError(msg)


def to_symbol(contract: Contract, names: BrokerNames) -> str:
    """The platform's name of a contract that the broker sent."""
    return names.symbol_of(contract.symbol, contract.secType, contract.currency)


def to_open_order(raw: RawOrder, status: RawStatus | None, names: BrokerNames = _AS_THEY_ARE) -> BrokerOrder:
    """An open order; ``status`` is its newest ``orderStatus`` message, if one came."""
    filled = to_decimal(status.filled) if status else (to_optional_decimal(raw.order.filledQuantity) or Decimal(0))
    word = status.status if status else raw.state.status
    average = to_price(status.average_price) if status else None
    return _broker_order(
        raw,
        names,
        quantity=to_decimal(raw.order.totalQuantity),
        raw_status=word,
        status=to_status(word, filled),
        filled=filled,
        average=average,
    )


def to_completed_order(raw: RawOrder, names: BrokerNames = _AS_THEY_ARE) -> BrokerOrder:
    """A completed order. It carries no order id and no average price; a filled one may carry no total quantity."""
    filled = to_optional_decimal(raw.order.filledQuantity) or Decimal(0)
    quantity = to_decimal(raw.order.totalQuantity) or filled
    word = raw.state.status
    status = to_status(word, filled, raw.state.completedStatus, is_completed=True)
    if status is OrderStatus.FILLED and filled == 0:
        filled = quantity
    return _broker_order(
        raw, names, quantity=quantity, raw_status=word, status=status, filled=filled, message=raw.state.completedStatus
    )


def _broker_order(
    raw: RawOrder,
    names: BrokerNames,
    *,
    quantity: Decimal,
    raw_status: str,
    status: OrderStatus,
    filled: Decimal,
    average: Decimal | None = None,
    message: str = "",
) -> BrokerOrder:
    order = raw.order
    return BrokerOrder(
        client_order_id=order.orderRef,
        perm_id=order.permId,
        order_id=max(order.orderId, 0),
        client_id=order.clientId,
        account=order.account,
        symbol=to_symbol(raw.contract, names),
        side=to_side(order.action),
        quantity=quantity,
        order_type=order.orderType,
        time_in_force=order.tif,
        limit_price=to_price(order.lmtPrice) if order.orderType in LIMIT_ORDERS else None,
        stop_price=_stop_price(order),
        status=status,
        raw_status=raw_status,
        filled_quantity=filled,
        average_fill_price=average,
        message=message or raw.state.warningText,
    )


def _stop_price(order: Order) -> Decimal | None:
    if order.orderType == "TRAIL":
        return to_price(order.trailStopPrice)  # the other price is the distance it trails at
    return to_price(order.auxPrice) if order.orderType in STOP_ORDERS else None


def to_acknowledged_order(
    request: OrderRequest, acknowledgement: Acknowledgement, *, account: str, order_id: int, client_id: int
) -> BrokerOrder:
    """The order as the broker acknowledged it."""
    filled = to_decimal(acknowledgement.filled)
    status = to_status(acknowledgement.status, filled)
    if status is OrderStatus.UNKNOWN and filled > 0:
        # a fill proves that it lives, whatever word came with it
        status = OrderStatus.FILLED if filled >= request.quantity else OrderStatus.PARTIALLY_FILLED
    return BrokerOrder(
        client_order_id=request.client_order_id,
        perm_id=acknowledgement.perm_id,
        order_id=order_id,
        client_id=client_id,
        account=account,
        symbol=request.symbol,
        side=request.side,
        quantity=request.quantity,
        order_type=request.order_type,
        time_in_force=request.time_in_force,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        status=status,
        raw_status=acknowledgement.status,
        filled_quantity=filled,
        average_fill_price=to_price(acknowledgement.average_price),
        message="; ".join(acknowledgement.notes),
    )


def to_execution(
    fill: objects.Fill, report: objects.CommissionReport | None, names: BrokerNames = _AS_THEY_ARE
) -> Execution:
    """One fill; ``report`` of ``None`` leaves commission and realized P&L unknown."""
    execution = fill.execution
    return Execution(
        execution_id=execution.execId,
        client_order_id=execution.orderRef,
        perm_id=execution.permId,
        account=execution.acctNumber,
        symbol=to_symbol(fill.contract, names),
        side=to_side(execution.side),
        quantity=to_decimal(execution.shares),
        price=to_decimal(execution.price),
        commission=to_optional_decimal(report.commission) if report else None,
        realized_pnl=to_optional_decimal(report.realizedPNL) if report else None,
        ts_utc=execution.time.astimezone(UTC),
    )


def without_corrected(executions: Iterable[Execution]) -> list[Execution]:
    """Drop executions that a later one corrects, keeping order.

    IBKR numbers a corrected execution like the original but for the part after the last period
    (``0000e0d5.63f5c3f7.01.01`` becomes ``….02``). Ids of another shape are left alone.
    """
    newest: dict[str, Execution] = {}
    for execution in executions:
        stem, _, revision = execution.execution_id.rpartition(".")
        has_revision = stem.count(".") == 2 and len(revision) == 2 and revision.isdigit()
        key = stem if has_revision else execution.execution_id
        known = newest.get(key)
        if known is None or known.execution_id <= execution.execution_id:
            newest[key] = execution
    return list(newest.values())


def to_position(raw: objects.Position, names: BrokerNames = _AS_THEY_ARE) -> Position:
    """A holding with its signed quantity."""
    return Position(raw.account, to_symbol(raw.contract, names), to_decimal(raw.position), to_decimal(raw.avgCost))


def to_account_summary(account: str, values: Mapping[str, tuple[str, str]], ts_utc: datetime) -> AccountSummary:
    """The account's figures from ``tag → (value, currency)``.

    Raises:
        BrokerError: a figure is missing or is not a number.
    """

    def figure(tag: str) -> Decimal:
        text = values[tag][0] if tag in values else ""
        try:
            return Decimal(text)
        except ArithmeticError as error:
            msg = f"the summary of account {account} has no usable {tag} ({text!r}): is the gateway still loading?"
            raise BrokerError(msg) from error

    return AccountSummary(
        account=account,
        net_liquidation=figure("NetLiquidation"),
        currency=values["NetLiquidation"][1],
        total_cash=figure("TotalCashValue"),
        gross_position_value=figure("GrossPositionValue"),
        available_funds=figure("AvailableFunds"),
        buying_power=figure("BuyingPower"),
        ts_utc=ts_utc,
    )


def market_rule_id(details: ContractDetails) -> int | None:
    """The market rule of the exchange that was asked for; of the first one where it isn't listed; None without any."""
    contract = details.contract
    exchanges = details.validExchanges.split(",")
    rules = [text for text in details.marketRuleIds.split(",") if text.strip().isdigit()]
    if not rules:
        return None
    asked = contract.exchange if contract is not None else ""
    position = exchanges.index(asked) if asked in exchanges else 0
    return int(rules[position] if position < len(rules) else rules[0])


def to_price_steps(rule_id: int, increments: Sequence[objects.PriceIncrement] | None) -> tuple[PriceStep, ...]:
    """The steps of a market rule, by price.

    Raises:
        BrokerError: they are no price grid.
    """
    steps = tuple(
        sorted(
            (PriceStep(to_decimal(item.lowEdge), to_decimal(item.increment)) for item in increments or ()),
            key=lambda step: step.low_edge,
        )
    )
    try:
        return PriceGrid(steps).steps
    except InvalidPriceGridError as error:
        msg = f"market rule {rule_id}: IBKR's {error}"
        raise BrokerError(msg) from error


def to_details(
    instrument: Instrument, found: Sequence[ContractDetails], price_steps: tuple[PriceStep, ...] = ()
) -> InstrumentDetails:
    """What the broker knows of the one contract in ``found``."""
    details = found[0]
    contract = details.contract
    assert contract is not None, "the decoder always sets it"
    increment = to_price(details.sizeIncrement) or to_price(details.minSize) or instrument.lot_size
    if instrument.security_type == "STK":
        # IBKR reports 0.0001 where fractions exist, but takes none through the API (error 10243)
        increment = max(increment, Decimal(1))
    return InstrumentDetails(
        instrument=instrument,
        con_id=contract.conId,
        local_symbol=contract.localSymbol,
        trading_class=contract.tradingClass,
        long_name=details.longName,
        min_tick=to_decimal(details.minTick),
        lot_size=increment,
        time_zone=details.timeZoneId,
        industry=details.industry,
        category=details.category,
        data_origin=details.subcategory if details.industry == PAPER_INDUSTRY else "broker",
        price_steps=price_steps,
    )


def to_quote(symbol: str, ticker: Ticker, ts_utc: datetime) -> Quote:
    """The top of the book as the snapshot left it."""
    return Quote(
        symbol=symbol,
        bid=to_price(ticker.bid),
        ask=to_price(ticker.ask),
        last=to_price(ticker.last),
        ts_utc=ts_utc,
        is_delayed=ticker.marketDataType in _DELAYED_MARKET_DATA,
        is_halted=_to_halted(ticker.halted),
    )


def _to_halted(value: float) -> bool | None:
    """Tick type 49: 0 is trading, 1 a general halt, 2 a volatility halt; −1 and nothing at all say nothing."""
    return None if is_unset(value) or value < 0 else value > 0


def to_frame(bars: Sequence[objects.BarData]) -> pd.DataFrame:
    """Bars as a frame: ``ts_utc`` (datetime64[ns, UTC]) and float64 columns, sorted by time.

    A volume that IBKR leaves unset or reports as −1 (midpoints have none) is 0.
    """
    import pandas as pd

    columns = ("open", "high", "low", "close")
    frame = pd.DataFrame(
        {
            "ts_utc": pd.to_datetime([_bar_start(bar.date) for bar in bars], utc=True).as_unit("ns"),
            **{name: pd.array([getattr(bar, name) for bar in bars], dtype="float64") for name in columns},
            "volume": [0.0 if is_unset(bar.volume) or bar.volume < 0 else float(bar.volume) for bar in bars],
        }
    )
    return frame.astype(dict.fromkeys((*columns, "volume"), "float64")).sort_values("ts_utc", ignore_index=True)


def _bar_start(moment: date | datetime) -> datetime:
    if isinstance(moment, datetime):
        return moment.astimezone(UTC)
    return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
