"""Instruments: a name that stays, a ticker that does not; and whether one may be traded."""

from __future__ import annotations

from datetime import date

import pytest

from trading_platform.domain.instruments import BrokerNames, Instrument
from trading_platform.domain.tickers import TickerError, TickerSpan

FACEBOOK = Instrument(
    "FB", tickers=(TickerSpan("FB", date(2012, 5, 18), date(2022, 6, 8)), TickerSpan("META", date(2022, 6, 9)))
)
PAIR = Instrument("EUR.USD", "CASH", exchange="IDEALPRO", calendar="FX")
LONDON = Instrument("VOD.LSE", ticker="VOD", primary_exchange="LSE", currency="GBP", calendar="XLON")
NOW = date(2026, 11, 26)


@pytest.mark.parametrize(
    ("instrument", "at_the_broker"),
    [
        (Instrument("IBM"), "IBM"),
        (Instrument("BRK B"), "BRK B"),
        (PAIR, "EUR"),
        (LONDON, "VOD"),
        (FACEBOOK.on(date(2013, 2, 28)), "FB"),
        (FACEBOOK.on(NOW), "META"),
        (FACEBOOK.on(date(2012, 5, 17)), None),
        (FACEBOOK, None),  # of which day?
    ],
)
def test_what_the_broker_calls_it(instrument: Instrument, at_the_broker: str | None) -> None:
    assert instrument.broker_symbol == at_the_broker


@pytest.mark.parametrize(
    ("start", "ticker"),
    [(date(2012, 1, 3), "FB"), (date(2022, 6, 8), "FB"), (date(2022, 6, 9), "META"), (NOW, "META")],
)
def test_a_replay_calls_it_by_its_first_ticker_from_its_start_on(start: date, ticker: str) -> None:
    assert FACEBOOK.since(start).broker_symbol == ticker
    gone = Instrument("OLD", tickers=(TickerSpan("OLD", None, date(2003, 3, 28)),))
    assert gone.since(start).broker_symbol is None
    assert Instrument("IBM").since(start) == Instrument("IBM")


def test_an_instrument_stays_what_it_is_whatever_its_ticker() -> None:
    assert {FACEBOOK.on(day).symbol for day in (date(2013, 2, 28), NOW)} == {"FB"}
    assert Instrument("IBM").on(NOW) == Instrument("IBM")


def test_it_is_listed_in_the_sessions_in_which_it_has_a_ticker() -> None:
    assert not FACEBOOK.is_listed(date(2001, 9, 10))
    assert not FACEBOOK.is_listed(date(2012, 5, 17))
    assert FACEBOOK.is_listed(date(2012, 5, 18))
    assert FACEBOOK.is_listed(NOW)
    assert Instrument("IBM").is_listed(date(1999, 1, 4))


@pytest.mark.parametrize(
    ("instrument", "why"),
    [
        (Instrument("IBM"), ""),
        (Instrument("BTC", "CRYPTO", calendar="24/7"), ""),
        (LONDON, "priced in GBP"),
        (PAIR, "foreign exchange"),
    ],
)
def test_only_what_is_priced_in_usd_and_no_currency_may_be_traded(instrument: Instrument, why: str) -> None:
    assert bool(instrument.why_not_tradable) == bool(why)
    assert why in instrument.why_not_tradable


class TestBrokerNames:
    NAMES = BrokerNames.of([FACEBOOK.on(NOW), LONDON, PAIR, Instrument("IBM"), Instrument("BTC", "CRYPTO")])

    @pytest.mark.parametrize(
        ("contract", "symbol"),
        [
            (("META", "STK", "USD"), "FB"),
            (("VOD", "STK", "GBP"), "VOD.LSE"),
            (("EUR", "CASH", "USD"), "EUR.USD"),
            (("IBM", "STK", "USD"), "IBM"),
            (("BTC", "CRYPTO", "USD"), "BTC"),
            (("WMT", "STK", "USD"), "WMT"),  # somebody's own holding, no instrument of ours
            (("VOD", "STK", "USD"), "VOD"),
            (("FB", "STK", "USD"), "FB@STK.USD"),  # another company has the ticker now
            (("IBM", "OPT", "USD"), "IBM@OPT.USD"),
            (("IBM", "STK", "MXN"), "IBM@STK.MXN"),
        ],
    )
    def test_a_contract_is_the_instrument_with_its_ticker_kind_and_currency(
        self, contract: tuple[str, str, str], symbol: str
    ) -> None:
        assert self.NAMES.symbol_of(*contract) == symbol

    def test_without_instruments_every_name_stays(self) -> None:
        assert BrokerNames().symbol_of("FB", "STK", "USD") == "FB"

    def test_two_instruments_that_are_one_at_the_broker_are_refused(self) -> None:
        with pytest.raises(TickerError, match="FB and META are both META STK USD at the broker"):
            BrokerNames.of([FACEBOOK.on(NOW), Instrument("META")])
        assert BrokerNames.of([FACEBOOK.on(date(2013, 2, 28)), Instrument("META")])
