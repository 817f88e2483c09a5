"""Contract details, bars and quotes from the paper gateway, over a real socket."""

from __future__ import annotations

import contextlib
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from trading_platform.brokers.base import (
    BrokerError,
    BrokerTimeoutError,
    NoDataError,
    PacingError,
    UnknownInstrumentError,
)
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.pacing import PacingRules
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.faults import Mute
from trading_platform.paper_gateway.messages.ids import Outgoing
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform_tests.brokers.ibkr.conftest import MOMENT, BrokerFactory
from trading_platform_tests.brokers.ibkr.scripted_gateway import ScriptedGateway

UTC = timezone.utc
AAPL = Instrument("AAPL", primary_exchange="NASDAQ")
IBM = Instrument("IBM", primary_exchange="NYSE")
BTC = Instrument("BTC", "CRYPTO", calendar="24/7", lot_size=Decimal("0.00001"))


def test_details_name_the_origin_of_the_prices(broker: IBKRBroker) -> None:
    details = broker.instrument_details(AAPL)
    assert (details.con_id, details.local_symbol, details.min_tick) == (265598, "AAPL", Decimal("0.01"))
    assert details.data_origin.startswith("real daily bars")
    coin = broker.instrument_details(BTC)
    assert coin.lot_size == Decimal("0.00000001")
    assert coin.data_origin.startswith("synthetic path")


def test_details_tell_how_the_price_increment_grows_with_the_price(broker: IBKRBroker) -> None:
    grid = broker.instrument_details(AAPL).price_grid
    assert [grid.increment_at(Decimal(price)) for price in ("0.5", "1", "440")] == [
        Decimal("0.0001"),
        Decimal("0.01"),
        Decimal("0.01"),
    ]
    assert broker.instrument_details(BTC).price_grid.increment_at(Decimal(1)) == Decimal("0.01")


def test_an_unknown_symbol_is_named(broker: IBKRBroker) -> None:
    with pytest.raises(UnknownInstrumentError, match=r"NOPE.*200"):
        broker.instrument_details(Instrument("NOPE"))
    with pytest.raises(UnknownInstrumentError, match="NOPE"):
        broker.historical_bars(Instrument("NOPE"), end=None, duration="5 D", bar_size="1 day")
    with pytest.raises(UnknownInstrumentError, match="NOPE"):
        broker.quote(Instrument("NOPE"))


def test_daily_bars_carry_the_dates_of_sessions_and_real_prices(broker: IBKRBroker) -> None:
    end = datetime(2013, 2, 26, 22, 0, tzinfo=UTC)
    frame = broker.historical_bars(AAPL, end=end, duration="20 D", bar_size="1 day")
    sessions = get_calendar("XNYS").sessions(date(2013, 1, 29), date(2013, 2, 26))
    assert [stamp.date() for stamp in frame["ts_utc"]] == sessions
    assert {stamp.time().isoformat() for stamp in frame["ts_utc"]} == {"00:00:00"}
    assert frame["close"].iloc[-1] == 448.97
    assert frame["volume"].iloc[-1] == 17_910_700.0


@pytest.mark.parametrize(("bar_size", "minutes"), [("1 min", 1), ("5 mins", 5), ("1 hour", 60)])
def test_intraday_bars_carry_their_start_in_utc(broker: IBKRBroker, bar_size: str, minutes: int) -> None:
    end = datetime(2013, 2, 26, 21, 0, tzinfo=UTC)
    frame = broker.historical_bars(AAPL, end=end, duration="1 D", bar_size=bar_size)
    assert str(frame["ts_utc"].dtype) == "datetime64[ns, UTC]"
    assert frame["ts_utc"].iloc[0] == datetime(2013, 2, 26, 14, 30, tzinfo=UTC)
    assert frame["ts_utc"].iloc[-1] >= end - timedelta(minutes=minutes)
    assert frame["ts_utc"].is_monotonic_increasing
    assert not frame.isna().any(axis=None)
    assert {str(dtype) for dtype in frame.dtypes[1:]} == {"float64"}


def test_crypto_bars_run_around_the_clock(broker: IBKRBroker) -> None:
    frame = broker.historical_bars(BTC, end=None, duration="2 D", bar_size="1 hour")
    assert set(frame["ts_utc"].diff().dropna()) == {timedelta(hours=1)}
    assert len(frame) > 24


def test_no_data_is_an_error_and_never_an_empty_frame(broker: IBKRBroker) -> None:
    with pytest.raises(NoDataError, match="returned no data"):
        broker.historical_bars(AAPL, end=datetime(1999, 1, 5, tzinfo=UTC), duration="5 D", bar_size="1 day")


def test_an_end_without_a_time_zone_is_refused(broker: IBKRBroker) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        broker.historical_bars(AAPL, end=datetime(2013, 2, 26), duration="5 D", bar_size="1 day")  # noqa: DTZ001


def test_a_senseless_bar_size_is_an_error_with_ibkrs_words(broker: IBKRBroker) -> None:
    with pytest.raises(BrokerError, match="321"):
        broker.historical_bars(AAPL, end=None, duration="5 D", bar_size="7 mins")


def test_bars_that_dont_come_are_a_timeout_and_never_an_empty_frame(
    paper_gateway: PaperGateway, make_broker: BrokerFactory
) -> None:
    paper_gateway.faults.add(Mute(Outgoing.HISTORICAL_DATA))
    with pytest.raises(BrokerTimeoutError, match="1 day bars of AAPL"):
        make_broker(port=paper_gateway.port, request_timeout_seconds=0.2).historical_bars(
            AAPL, end=None, duration="5 D", bar_size="1 day"
        )


def test_a_quote_carries_the_time_of_the_last_trade_at_the_server(broker: IBKRBroker) -> None:
    quote = broker.quote(AAPL)
    assert quote.bid is not None
    assert quote.ask is not None
    assert quote.last is not None
    assert quote.bid < quote.ask
    assert MOMENT - timedelta(minutes=1) <= quote.ts_utc <= MOMENT
    assert not quote.is_delayed


def test_a_quote_without_a_trades_time_carries_the_servers_clock(
    paper_gateway: PaperGateway, broker: IBKRBroker
) -> None:
    paper_gateway.faults.add(Mute(Outgoing.TICK_STRING))
    assert broker.quote(AAPL).ts_utc == MOMENT


def test_an_instrument_without_live_data_is_quoted_delayed_and_says_so(broker: IBKRBroker) -> None:
    quote = broker.quote(IBM)
    assert quote.is_delayed
    assert quote.last is not None


def test_a_quote_does_not_wait_for_the_end_of_the_snapshot_when_it_is_complete(
    paper_gateway: PaperGateway, broker: IBKRBroker
) -> None:
    paper_gateway.faults.add(Mute(Outgoing.TICK_SNAPSHOT_END))
    assert broker.quote(AAPL).bid is not None


def test_a_quote_without_any_price_is_no_data(paper_gateway: PaperGateway, broker: IBKRBroker) -> None:
    paper_gateway.faults.add(Mute(Outgoing.TICK_PRICE))
    with pytest.raises(NoDataError, match="no price at all"):
        broker.quote(AAPL)


def test_quotes_leave_nothing_behind_in_the_library(broker: IBKRBroker) -> None:
    for _ in range(3):
        broker.quote(AAPL)
    connection = broker._connection
    assert connection is not None
    assert not connection.wrapper.tickers
    assert not connection.wrapper.reqId2Ticker


def test_a_pacing_violation_is_a_pacing_error(make_broker: BrokerFactory) -> None:
    gateway = PaperGateway(GatewayConfig(port=0), lambda: MOMENT).start_in_thread()
    try:
        broker = make_broker(port=gateway.port, pacing=PacingRules(identical_seconds=0))  # of ours, which is too quick

        def ask() -> None:
            broker.historical_bars(AAPL, end=None, duration="600 S", bar_size="30 secs")

        with contextlib.suppress(NoDataError):
            ask()
        with pytest.raises(PacingError):
            ask()
    finally:
        gateway.stop_in_thread()


@pytest.mark.parametrize(("value", "is_halted"), [(0, False), (1, True), (2, True), (-1, None), (None, None)])
def test_a_quote_tells_whether_trading_is_halted_if_the_broker_does(
    make_broker: BrokerFactory, value: int | None, is_halted: bool | None
) -> None:
    """Tick type 49 of ``tickGeneric`` (message 45): 1 is a general halt, 2 a volatility halt."""

    def quote(fields: list[str]) -> list[tuple[object, ...]]:
        request_id = fields[2]
        halted: list[tuple[object, ...]] = [] if value is None else [(45, 6, request_id, 49, value)]
        return [*halted, (1, 6, request_id, 4, 12.5, 100, 0), (57, 1, request_id)]

    with ScriptedGateway(scripts={"1": quote}) as gateway:
        assert make_broker(port=gateway.port).quote(AAPL).is_halted is is_halted
