from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal

import pytest

from trading_platform.paper_gateway.contracts import ContractBook
from trading_platform.paper_gateway.market.datasets import MarketData, load_market_data
from trading_platform.paper_gateway.market.market import Market
from trading_platform.specs.loader import load_universe
from trading_platform_tests.paper_gateway.market.builders import daily_history, data_of

NOW = datetime(2026, 11, 20, 17, tzinfo=timezone.utc)


def book_of(data: MarketData) -> ContractBook:
    return ContractBook(Market(data, 7, date(2026, 11, 19), NOW))


@pytest.fixture(scope="module")
def book() -> ContractBook:
    return book_of(load_market_data())


def test_the_book_lists_the_well_known_contracts_with_ibkr_s_ids(book: ContractBook) -> None:
    contracts = {contract.symbol: contract for contract in book.contracts}
    assert len(book.contracts) == 36
    assert {"AAPL", "MSFT", "GOOG", "IBM", "META", "TSLA", "IWM", "SPY", "QQQ", "JNJ", "BTC"} <= set(contracts)
    assert (contracts["AAPL"].con_id, contracts["MSFT"].con_id, contracts["IBM"].con_id) == (265598, 272093, 8314)
    assert len({contract.con_id for contract in book.contracts}) == 36
    assert contracts["IWM"].primary_exchange == "ARCA"
    coin = contracts["BTC"]
    assert (coin.security_type, coin.exchange, coin.calendar, coin.local_symbol) == (
        "CRYPTO",
        "PAXOS",
        "24/7",
        "BTC.USD",
    )
    assert (coin.min_tick, coin.min_size) == (Decimal("0.01"), Decimal("0.00001"))


def test_every_contract_says_where_its_prices_come_from(book: ContractBook) -> None:
    for contract in book.contracts:
        assert contract.data_origin.startswith(("real daily bars", "synthetic path, seed 7"))


def test_a_contract_id_decides_alone(book: ContractBook) -> None:
    [found] = book.find(con_id=265598, symbol="IBM", security_type="CRYPTO")
    assert found.symbol == "AAPL"
    assert book.find(con_id=1) == []
    assert book.by_con_id(8314) == book.find(symbol="IBM")[0]


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        ({"symbol": "AAPL", "security_type": "STK", "exchange": "SMART", "currency": "USD"}, True),
        ({"symbol": "aapl", "security_type": "stk", "exchange": "smart", "currency": "usd"}, True),
        ({"symbol": "AAPL", "exchange": "NASDAQ"}, True),
        ({"symbol": "AAPL", "exchange": "ISLAND", "primary_exchange": "ISLAND"}, True),
        ({"local_symbol": "AAPL", "trading_class": "NMS"}, True),
        ({"symbol": "AAPL", "currency": "EUR"}, False),
        ({"symbol": "AAPL", "security_type": "CRYPTO"}, False),
        ({"symbol": "AAPL", "exchange": "LSE"}, False),
        ({"symbol": "AAPL", "primary_exchange": "NYSE"}, False),
        ({"symbol": "NOSUCH"}, False),
    ],
)
def test_without_an_id_everything_that_is_said_must_fit(book: ContractBook, said: dict[str, str], fits: bool) -> None:
    assert [contract.symbol for contract in book.find(**said)] == (["AAPL"] if fits else [])


def test_a_coin_is_not_on_smart(book: ContractBook) -> None:
    assert len(book.find(symbol="BTC", security_type="CRYPTO", exchange="PAXOS", currency="USD")) == 1
    assert book.find(symbol="BTC", exchange="SMART") == []


def test_symbols_of_the_user_s_data_are_listed_with_ids_that_stay(book: ContractBook) -> None:
    own, more = (
        data_of(*(daily_history(s, date(2013, 1, 2), 5) for s in names)) for names in (["ZZZ"], ["YYY", "ZZZ"])
    )
    [one], [again] = book_of(own).find(symbol="ZZZ"), book_of(more).find(symbol="ZZZ")
    assert one.con_id == again.con_id >= 1_000_000_000
    assert (one.security_type, one.exchange, one.calendar) == ("STK", "SMART", "XNYS")
    assert book.find(symbol="ZZZ") == []


def test_a_pattern_finds_symbols_before_names(book: ContractBook) -> None:
    assert [contract.symbol for contract in book.matching("a")][:4] == ["AMD", "AZN", "AAPL", "AMZN"]
    assert [contract.symbol for contract in book.matching("bitcoin")] == ["BTC"]
    assert book.matching(" ") == []


def test_every_instrument_of_the_shipped_universe_is_listed(book: ContractBook) -> None:
    found = {
        instrument.symbol: book.find(
            symbol=instrument.broker_symbol,
            security_type=instrument.security_type,
            currency=instrument.currency,
            primary_exchange=instrument.primary_exchange,
        )
        for instrument in load_universe().on(NOW.date()).instruments.values()
    }
    assert {symbol: len(contracts) for symbol, contracts in found.items()} == dict.fromkeys(found, 1)
    assert {symbol: one.calendar for symbol, [one] in found.items()} == {
        symbol: one.calendar for symbol, one in load_universe().instruments.items()
    }


@pytest.mark.parametrize(
    ("start", "ticker", "other"),
    [
        (datetime(2003, 2, 28, 17, tzinfo=timezone.utc), "FB", "META"),  # not listed yet
        (datetime(2013, 2, 28, 17, tzinfo=timezone.utc), "FB", "META"),
        (datetime(2022, 6, 8, 17, tzinfo=timezone.utc), "FB", "META"),
        (datetime(2022, 6, 9, 17, tzinfo=timezone.utc), "META", "FB"),
        (NOW, "META", "FB"),
    ],
)
def test_a_contract_is_called_what_it_was_called_when_the_market_starts(
    start: datetime, ticker: str, other: str
) -> None:
    book = ContractBook(Market(load_market_data(), 7, date(2026, 11, 19), start))
    [facebook] = book.find(symbol=ticker, security_type="STK", currency="USD")
    assert (facebook.con_id, facebook.local_symbol, facebook.listed_as) == (107113386, ticker, "FB")
    assert facebook.data_origin.startswith("real daily bars")
    assert book.find(symbol=other) == []


def test_one_ticker_may_be_two_contracts_of_two_exchanges() -> None:
    book = book_of(data_of(daily_history("VOD", date(2013, 1, 2), 5)))
    assert {(one.currency, one.calendar) for one in book.find(symbol="VOD")} == {("GBP", "XLON"), ("USD", "XNYS")}
    [london] = book.find(symbol="VOD", currency="GBP", exchange="SMART", primary_exchange="LSE")
    assert (london.listed_as, london.time_zone) == ("VOD.LSE", "GB")


def test_a_pair_is_found_by_its_base_and_its_currency_on_idealpro(book: ContractBook) -> None:
    [pair] = book.find(symbol="EUR", security_type="CASH", currency="USD", exchange="IDEALPRO")
    assert (pair.local_symbol, pair.calendar, pair.min_tick) == ("EUR.USD", "FX", Decimal("0.00005"))
    assert [one.local_symbol for one in book.find(security_type="CASH")] == ["EUR.USD", "GBP.USD", "USD.JPY"]
    assert book.find(symbol="EUR", exchange="SMART") == []
