"""An instrument under its ticker of today, over a real socket: asked for as META, and FB wherever it comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timezone
from decimal import Decimal

import pytest

from trading_platform.brokers.base import BrokerError, UnknownInstrumentError
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.clock import ManualClock
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderRequest
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.specs.universe import load_universe
from trading_platform_tests.brokers.ibkr.conftest import BrokerFactory

NOW = datetime(2026, 3, 17, 16, 0, 30, tzinfo=timezone.utc)
UNIVERSE = load_universe().on(NOW.date())
FACEBOOK = UNIVERSE.instruments["FB"]
PATIENT = {"request_timeout_seconds": 20.0}
"""The first bars of a market take the gateway a while: it makes their calendar, and the path of their prices."""


@pytest.fixture(scope="module")
def today() -> Iterator[PaperGateway]:
    """A paper gateway of 2026."""
    gateway = PaperGateway(GatewayConfig(port=0, pacing_enabled=False), ManualClock(NOW).now).start_in_thread()
    yield gateway
    gateway.stop_in_thread()


@pytest.fixture
def broker(today: PaperGateway, make_broker: BrokerFactory) -> IBKRBroker:
    return make_broker(**PATIENT, port=today.port, names=UNIVERSE.names)


def test_details_bars_and_quotes_are_those_of_the_contract_of_today(broker: IBKRBroker) -> None:
    details = broker.instrument_details(FACEBOOK)
    assert (details.instrument.symbol, details.local_symbol, details.con_id) == ("FB", "META", 107113386)
    assert len(broker.historical_bars(FACEBOOK, end=None, duration="5 D", bar_size="1 day")) == 5
    assert broker.quote(FACEBOOK).symbol == "FB"


def test_orders_executions_and_positions_come_back_under_the_platforms_name(
    today: PaperGateway, broker: IBKRBroker, make_broker: BrokerFactory
) -> None:
    bought = OrderRequest("t.FB.1", "FB", "BUY", Decimal(10))
    resting = OrderRequest("t.FB.2", "FB", "BUY", Decimal(5), "LMT", limit_price=Decimal("10.5"))
    for request in (bought, resting):
        assert broker.place_order(FACEBOOK, request).symbol == "FB"
    assert {order.symbol for order in broker.open_orders()} == {"FB"}
    assert {order.symbol for order in broker.completed_orders()} == {"FB"}
    assert {execution.symbol for execution in broker.executions()} == {"FB"}
    assert {position.symbol: position.quantity for position in broker.positions()} == {"FB": 10}
    unaware = make_broker(**PATIENT, port=today.port, client_id=11)
    assert {position.symbol for position in unaware.positions()} == {"META"}


def test_a_holding_of_whoever_has_the_former_ticker_is_not_facebook(
    today: PaperGateway, make_broker: BrokerFactory
) -> None:
    """A platform whose Facebook has another ticker meets a holding called META, the name of another instrument."""
    names = replace(FACEBOOK, ticker="FBK"), Instrument("META", currency="EUR")
    broker = make_broker(**PATIENT, port=today.port, client_id=12, names=type(UNIVERSE.names).of(names))
    assert {position.symbol for position in broker.positions()} <= {"META@STK.USD"}


@pytest.mark.parametrize(
    ("instrument", "message"),
    [
        (FACEBOOK.on(date(2013, 2, 28)), "contract 107113386 is META at the broker, and universe.yaml says FB: "),
        (replace(FACEBOOK.on(date(2013, 2, 28)), con_id=None), "IBKR answered 200"),
        (FACEBOOK.on(date(2012, 5, 17)), "FB has no ticker today: it had FB .*universe.yaml"),
        (replace(FACEBOOK, con_id=1), "IBKR answered 200"),
        (replace(FACEBOOK, con_id=265598), "contract 265598 is AAPL at the broker, and universe.yaml says META"),
    ],
)
def test_a_stale_or_wrong_ticker_is_refused(broker: IBKRBroker, instrument: Instrument, message: str) -> None:
    with pytest.raises(UnknownInstrumentError, match=message):
        broker.instrument_details(instrument)


@pytest.mark.parametrize(
    "instrument",
    [
        replace(FACEBOOK.on(date(2013, 2, 28)), con_id=None),
        FACEBOOK.on(date(2012, 5, 17)),
        replace(FACEBOOK, con_id=1),
    ],
)
def test_an_order_for_whom_the_broker_does_not_know_is_not_placed(broker: IBKRBroker, instrument: Instrument) -> None:
    with pytest.raises(BrokerError):
        broker.place_order(instrument, OrderRequest("t.FB.3", "FB", "BUY", Decimal(1)))
    assert "t.FB.3" not in {order.client_order_id for order in [*broker.open_orders(), *broker.completed_orders()]}


@pytest.mark.parametrize(
    ("symbol", "currency"), [("EUR.USD", "USD"), ("USD.JPY", "JPY"), ("VOD.LSE", "GBP"), ("AZN.LSE", "GBP")]
)
def test_what_is_priced_elsewhere_has_bars_and_quotes(broker: IBKRBroker, symbol: str, currency: str) -> None:
    instrument = UNIVERSE.instruments[symbol]
    assert instrument.currency == currency
    bars = broker.historical_bars(instrument, end=None, duration="2 D", bar_size="1 hour")
    assert (bars["low"] > 0).all()
    assert broker.quote(instrument).symbol == symbol
