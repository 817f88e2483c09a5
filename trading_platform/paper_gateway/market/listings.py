"""What the paper market lists: facts about contracts, and the character of the paths made up for them.

No prices of real sessions: those come from data sets. ``price``, ``volatility`` and ``volume`` are only used
where a contract has no data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from trading_platform.domain.calendars import ALWAYS_OPEN, FOREIGN_EXCHANGE
from trading_platform.domain.instruments import SecurityType
from trading_platform.domain.tickers import TickerSpan
from trading_platform.paper_gateway.market_rules import SUB_PENNY_RULE

XNYS = "XNYS"


@dataclass(frozen=True)
class Listing:
    """One listed contract.

    ``con_id`` is IBKR's where it is known, else None. ``price`` (in ``currency``), ``volatility`` (of a
    session's log return) and ``volume`` (a usual session's) shape the synthetic path. Quantities are multiples of
    ``size_increment``, where it is None of ``min_size``. ``market_rule`` 0 is ``min_tick`` at every price.
    ``tickers`` are what the contract is called and when; without them it is ``symbol``, which also names its data.
    """

    symbol: str
    long_name: str
    con_id: int | None = None
    security_type: SecurityType = "STK"
    exchange: str = "SMART"
    primary_exchange: str = "NASDAQ"
    currency: str = "USD"
    min_tick: Decimal = Decimal("0.01")
    min_size: Decimal = Decimal(1)
    size_increment: Decimal | None = None
    market_rule: int = 0
    calendar: str = XNYS
    time_zone: str = "US/Eastern"
    price: float = 100.0
    volatility: float = 0.015
    volume: float = 5_000_000.0
    tickers: tuple[TickerSpan, ...] = ()

    def ticker_on(self, day: date) -> str:
        """What the contract is called on ``day``, or next where it had no ticker then; its last one after all."""
        later = [span.ticker for span in self.tickers if span.end >= day]
        return later[0] if later else self.tickers[-1].ticker if self.tickers else self.symbol


def _stock(
    symbol: str,
    long_name: str,
    con_id: int | None,
    character: tuple[float, float, float],
    primary_exchange: str = "NASDAQ",
) -> Listing:
    return Listing(
        symbol,
        long_name,
        con_id,
        primary_exchange=primary_exchange,
        market_rule=SUB_PENNY_RULE,
        price=character[0],
        volatility=character[1],
        volume=character[2],
    )


def _crypto(symbol: str, long_name: str, con_id: int | None, character: tuple[float, float, float]) -> Listing:
    """A crypto-currency against USD: around the clock, in small fractions."""
    return Listing(
        symbol,
        long_name,
        con_id,
        security_type="CRYPTO",
        exchange="PAXOS",
        primary_exchange="",
        min_size=Decimal("0.00001"),
        size_increment=Decimal("0.00000001"),
        calendar=ALWAYS_OPEN,
        time_zone="UTC",
        price=character[0],
        volatility=character[1],
        volume=character[2],
    )


def _abroad(
    ticker: str, long_name: str, market: tuple[str, str, str, str], tick: str, character: tuple[float, float, float]
) -> Listing:
    """A stock of another country. ``market``: exchange at IBKR, currency, calendar, time zone."""
    exchange, currency, calendar, zone = market
    return Listing(
        f"{ticker}.{exchange}",
        long_name,
        primary_exchange=exchange,
        currency=currency,
        min_tick=Decimal(tick),
        calendar=calendar,
        time_zone=zone,
        price=character[0],
        volatility=character[1],
        volume=character[2],
        tickers=(TickerSpan(ticker),),
    )


def _pair(pair: str, con_id: int, tick: str, price: float) -> Listing:
    """A currency against another, such as EUR.USD: quotes and midpoints, no trades."""
    base, _, quote = pair.partition(".")
    return Listing(
        pair,
        f"{_CURRENCIES[base]} / {_CURRENCIES[quote]}",
        con_id,
        security_type="CASH",
        exchange="IDEALPRO",
        primary_exchange="",
        currency=quote,
        min_tick=Decimal(tick),
        calendar=FOREIGN_EXCHANGE,
        price=price,
        volatility=0.005,
        volume=1e9,
        tickers=(TickerSpan(base),),
    )


_CURRENCIES = {"EUR": "Euro", "GBP": "British Pound", "JPY": "Japanese Yen", "USD": "US Dollar"}
_LONDON = ("LSE", "GBP", "XLON", "GB")
_FRANKFURT = ("IBIS", "EUR", "XETR", "MET")

LISTINGS: dict[str, Listing] = {
    listing.symbol: listing
    for listing in (
        _stock("AAPL", "APPLE INC", 265598, (190, 0.017, 55e6)),
        _stock("MSFT", "MICROSOFT CORP", 272093, (400, 0.015, 22e6)),
        _stock("GOOG", "ALPHABET INC-CL C", 208813720, (160, 0.017, 20e6)),
        _stock("IBM", "INTL BUSINESS MACHINES CORP", 8314, (190, 0.013, 4e6), "NYSE"),
        replace(
            _stock("FB", "META PLATFORMS INC-CLASS A", 107113386, (300, 0.022, 18e6)),
            tickers=(TickerSpan("FB", date(2012, 5, 18), date(2022, 6, 8)), TickerSpan("META", date(2022, 6, 9))),
        ),
        _stock("TSLA", "TESLA INC", 76792991, (240, 0.032, 95e6)),
        _stock("NVDA", "NVIDIA CORP", 4815747, (120, 0.029, 250e6)),
        _stock("AMZN", "AMAZON.COM INC", 3691937, (180, 0.019, 40e6)),
        _stock("NFLX", "NETFLIX INC", 15124833, (620, 0.024, 3.5e6)),
        _stock("AMD", "ADVANCED MICRO DEVICES", 4391, (150, 0.030, 50e6)),
        _stock("INTC", "INTEL CORP", 270639, (32, 0.022, 45e6)),
        _stock("ORCL", "ORACLE CORP", None, (135, 0.016, 8e6), "NYSE"),
        _stock("CSCO", "CISCO SYSTEMS INC", None, (49, 0.012, 18e6)),
        _stock("QCOM", "QUALCOMM INC", None, (170, 0.020, 8e6)),
        _stock("JPM", "JPMORGAN CHASE & CO", None, (200, 0.013, 9e6), "NYSE"),
        _stock("BAC", "BANK OF AMERICA CORP", None, (39, 0.015, 38e6), "NYSE"),
        _stock("GS", "GOLDMAN SACHS GROUP INC", None, (460, 0.015, 2e6), "NYSE"),
        _stock("V", "VISA INC-CLASS A SHARES", None, (275, 0.011, 6e6), "NYSE"),
        _stock("DIS", "WALT DISNEY CO/THE", None, (100, 0.016, 10e6), "NYSE"),
        _stock("KO", "COCA-COLA CO/THE", 8894, (63, 0.008, 13e6), "NYSE"),
        _stock("PEP", "PEPSICO INC", None, (170, 0.009, 5e6)),
        _stock("PG", "PROCTER & GAMBLE CO/THE", None, (155, 0.009, 7e6), "NYSE"),
        _stock("WMT", "WALMART INC", None, (68, 0.010, 16e6), "NYSE"),
        _stock("XOM", "EXXON MOBIL CORP", None, (115, 0.014, 15e6), "NYSE"),
        _stock("JNJ", "JOHNSON & JOHNSON", None, (155, 0.009, 7e6), "NYSE"),
        _stock("IWM", "ISHARES RUSSELL 2000 ETF", 9579970, (210, 0.013, 30e6), "ARCA"),
        _stock("SPY", "SPDR S&P 500 ETF TRUST", 756733, (500, 0.009, 60e6), "ARCA"),
        _stock("QQQ", "INVESCO QQQ TRUST SERIES 1", 320227571, (440, 0.012, 40e6), "ARCA"),
        _crypto("BTC", "Bitcoin cryptocurrency", 479624278, (60_000, 0.025, 12_000)),
        _pair("EUR.USD", 12087792, "0.00005", 1.08),
        _pair("GBP.USD", 12087797, "0.00005", 1.27),
        _pair("USD.JPY", 15016059, "0.005", 150.0),
        _abroad("VOD", "VODAFONE GROUP PLC", _LONDON, "0.0002", (0.75, 0.014, 60e6)),
        _abroad("AZN", "ASTRAZENECA PLC", _LONDON, "0.02", (110, 0.012, 2e6)),
        _abroad("HSBA", "HSBC HOLDINGS PLC", _LONDON, "0.001", (7.0, 0.012, 25e6)),
        _abroad("SAP", "SAP SE", _FRANKFURT, "0.02", (180, 0.014, 2e6)),
    )
}
"""Every contract the paper market always has, by symbol."""


def listing_of(symbol: str, calendar: str = XNYS) -> Listing:
    """The listing of ``symbol``; one nobody knows is a stock, or a crypto-currency on the 24/7 ``calendar``."""
    if symbol in LISTINGS:
        return LISTINGS[symbol]
    if calendar == ALWAYS_OPEN:
        return _crypto(symbol, symbol, None, (100, 0.03, 100_000))
    return Listing(symbol, symbol, primary_exchange="", market_rule=SUB_PENNY_RULE)
