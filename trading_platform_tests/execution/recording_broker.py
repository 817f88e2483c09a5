"""A broker for tests that keeps its books in a file, so that they survive the process that talks to it.

It implements the whole Protocol that the order path uses. Faults are hooks: a function called at a named point
(before the order is in the books, after it, before the answer) may raise, or end the process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from trading_platform.brokers.base import Broker, BrokerError, BrokerTimeoutError
from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.orders.model import (
    AccountSummary,
    BrokerOrder,
    Execution,
    OrderRequest,
    OrderStatus,
    Position,
    Quote,
    WhatIf,
)
from trading_platform_tests.storage.ledger.builders import ACCOUNT, NOW

Hook = Callable[[str], None]
PRICE = Decimal("170.5")


def do_nothing(client_order_id: str) -> None:
    """The hook of a healthy broker."""


class RecordingBroker:
    """One account. ``fills`` makes every order fill at once, commission included."""

    is_paper = True

    def __init__(
        self,
        books: Path,
        *,
        account: str = ACCOUNT,
        fills: bool = False,
        before_send: Hook = do_nothing,
        after_send: Hook = do_nothing,
    ) -> None:
        self._books = books
        self.account = account
        self.fills = fills
        self.before_send = before_send
        self.after_send = after_send
        self.is_silent = False
        self.acknowledged_status = OrderStatus.SUBMITTED
        self.requests: list[str] = []

    @property
    def placed(self) -> list[str]:
        """References in the order in which they were placed, doubles included."""
        return [line["ref"] for line in self._lines("order")]

    def place_order(self, instrument: Instrument, request: OrderRequest) -> BrokerOrder:
        self.requests.append("place_order")
        self.before_send(request.client_order_id)
        assert instrument.symbol == request.symbol
        perm_id = self.place_by_hand(request)
        if self.fills:
            self.fill(request.client_order_id)
        self.after_send(request.client_order_id)
        order = next(o for o in self._orders() if o.perm_id == perm_id)
        if self.acknowledged_status is OrderStatus.SUBMITTED:
            return order
        return BrokerOrder(**{**order.__dict__, "status": self.acknowledged_status, "raw_status": "Cancelled"})

    def what_if(self, instrument: Instrument, request: OrderRequest) -> WhatIf:
        self.requests.append("what_if")
        assert instrument.symbol == request.symbol
        msg = "this broker forecasts nothing"
        raise BrokerError(msg)

    def place_bracket(self, instrument: Instrument, legs: Sequence[OrderRequest]) -> Sequence[BrokerOrder]:
        self.requests.append("place_bracket")
        self.before_send(legs[0].client_order_id)
        names = [leg.client_order_id for leg in legs]
        assert {leg.symbol for leg in legs} == {instrument.symbol}
        assert {leg.parent_id for leg in legs[1:]} == {names[0]}
        # One write: the broker has all of them or none.
        self._write_all([self._line(leg, number) for number, leg in enumerate(legs)])
        if self.fills:
            self.fill(names[0])
        self.after_send(names[0])
        orders = {order.client_order_id: order for order in self._orders()}
        return [orders[name] for name in names]

    def place_by_hand(self, request: OrderRequest) -> int:
        """Put an order into the books as TWS would. Returns its perm id."""
        line = self._line(request)
        self._write_all([line])
        return int(line["perm_id"])

    def _line(self, request: OrderRequest, number: int = 0) -> dict[str, Any]:
        return {
            "kind": "order",
            "perm_id": 7001 + len(self._lines("order")) + number,
            "ref": request.client_order_id,
            "symbol": request.symbol,
            "side": request.side,
            "quantity": str(request.quantity),
        }

    def fill(self, client_order_id: str, quantity: str | None = None, commission: str | None = "1") -> None:
        """Fill the newest order of the reference."""
        order = next(o for o in reversed(self._lines("order")) if o["ref"] == client_order_id)
        self._write(
            kind="fill",
            number=len(self._lines("fill")) + 1,
            perm_id=order["perm_id"],
            ref=client_order_id,
            symbol=order["symbol"],
            side=order["side"],
            quantity=quantity or order["quantity"],
            commission=commission,
        )

    def report_commissions(self) -> None:
        """Send the commission reports that are missing."""
        self._write(kind="commissions")

    def end(self, client_order_id: str, status: OrderStatus = OrderStatus.CANCELLED) -> None:
        """End an order at the broker."""
        self._write(kind="end", ref=client_order_id, status=status.value)

    def open_orders(self) -> Sequence[BrokerOrder]:
        self._asked("open_orders")
        return [order for order in self._orders() if not order.status.is_terminal]

    def completed_orders(self) -> Sequence[BrokerOrder]:
        self._asked("completed_orders")
        return [order for order in self._orders() if order.status.is_terminal]

    def executions(self) -> Sequence[Execution]:
        self._asked("executions")
        return self._executions()

    def positions(self) -> Sequence[Position]:
        self._asked("positions")
        held: dict[str, Decimal] = {}
        for fill in self._executions():
            signed = fill.quantity if fill.side == "BUY" else -fill.quantity
            held[fill.symbol] = held.get(fill.symbol, Decimal(0)) + signed
        for line in self._lines("transfer"):
            held[line["symbol"]] = held.get(line["symbol"], Decimal(0)) + Decimal(line["quantity"])
        return [Position(self.account, symbol, quantity, PRICE) for symbol, quantity in held.items() if quantity]

    def transfer(self, symbol: str, quantity: str) -> None:
        """Move shares in or out without an execution."""
        self._write(kind="transfer", symbol=symbol, quantity=quantity)

    def cancel_order(self, client_order_id: str) -> None:
        self.end(client_order_id)

    def cancel_all_orders(self) -> None:
        self._asked("cancel_all_orders")
        for order in self._orders():
            if not order.status.is_terminal:
                self.end(order.client_order_id)

    def server_time(self) -> datetime:
        return NOW

    def instrument_details(self, instrument: Instrument) -> InstrumentDetails:
        raise NotImplementedError

    def data_origin(self, instrument: Instrument) -> str:
        raise NotImplementedError

    def historical_bars(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def scan(self, *_: Any) -> Any:
        raise NotImplementedError

    def quote(self, instrument: Instrument) -> Quote:
        raise NotImplementedError

    def account_summary(self) -> AccountSummary:
        raise NotImplementedError

    def _asked(self, what: str) -> None:
        self.requests.append(what)
        if self.is_silent:
            msg = f"no answer to {what}"
            raise BrokerTimeoutError(msg)

    def _orders(self) -> list[BrokerOrder]:
        ends = {line["ref"]: OrderStatus(line["status"]) for line in self._lines("end")}
        fills = self._executions()
        result = []
        for line in self._lines("order"):
            quantity = Decimal(line["quantity"])
            filled = sum((f.quantity for f in fills if f.perm_id == line["perm_id"]), Decimal(0))
            status = OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.SUBMITTED
            status = OrderStatus.FILLED if filled >= quantity else ends.get(line["ref"], status)
            result.append(
                BrokerOrder(
                    client_order_id=line["ref"],
                    perm_id=line["perm_id"],
                    order_id=0,
                    client_id=10,
                    account=self.account,
                    symbol=line["symbol"],
                    side=line["side"],
                    quantity=quantity,
                    order_type="MKT",
                    time_in_force="DAY",
                    limit_price=None,
                    stop_price=None,
                    status=status,
                    raw_status=status.value.title(),
                    filled_quantity=filled,
                    average_fill_price=PRICE if filled else None,
                )
            )
        return result

    def _executions(self) -> list[Execution]:
        are_reported = bool(self._lines("commissions"))
        return [
            Execution(
                execution_id=f"0000e0d5.{line['number']:08x}.01.01",
                client_order_id=line["ref"],
                perm_id=line["perm_id"],
                account=self.account,
                symbol=line["symbol"],
                side=line["side"],
                quantity=Decimal(line["quantity"]),
                price=PRICE,
                commission=Decimal(line["commission"] or 1) if line["commission"] or are_reported else None,
                realized_pnl=None,
                ts_utc=NOW,
            )
            for line in self._lines("fill")
        ]

    def _lines(self, kind: str) -> list[dict[str, Any]]:
        text = self._books.read_text() if self._books.exists() else ""
        return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]

    def _write(self, **line: Any) -> None:
        self._write_all([line])

    def _write_all(self, lines: Sequence[dict[str, Any]]) -> None:
        # One short write in append mode: processes at once don't mix their lines.
        with self._books.open("a") as books:
            books.write("".join(json.dumps(line) + "\n" for line in lines))


def as_protocol(broker: RecordingBroker) -> Broker:
    """The type checker's proof that this is a faithful Broker."""
    return broker
