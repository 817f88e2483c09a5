"""Spec files are read whole, and every mistake in one is named with file, key and remedy."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.feeds import feeds_of
from trading_platform.domain.market_data.quality import SEVERITIES, DataQuality
from trading_platform.domain.orders.risk.limits import AccountLimits
from trading_platform.domain.signals.loading import load_strategy
from trading_platform.domain.tickers import TickerError
from trading_platform.specs.loader import (
    SHIPPED,
    SpecError,
    UnknownSymbolError,
    load_data_quality,
    load_risk_limits,
    load_strategy_specs,
    load_universe,
    narrow,
    narrow_ingest,
)

GOOD = yaml.safe_load((SHIPPED / "strategies" / "tsla.yaml").read_text())
UNIVERSE = """
instruments:
  AAPL: {primary_exchange: NASDAQ}
  BTC: {security_type: CRYPTO, exchange: PAXOS, calendar: 24/7, lot_size: "0.00001"}
feeds:
  minute: {bar_size: 1 min, symbols: [AAPL]}
"""


def write(directory: Path, file_name: str = "tsla.yaml", **changes: object) -> Path:
    file = directory / file_name
    file.write_text(yaml.safe_dump(GOOD | changes, sort_keys=False))
    return file


def test_the_shipped_specs_are_four_agents_that_load_with_enough_history() -> None:
    specs = load_strategy_specs()
    assert [spec.name for spec in specs] == ["btc", "iwm", "momentum", "tsla"]
    assert {spec.name: spec.cadence_minutes for spec in specs} == {"btc": 60, "iwm": 15, "momentum": None, "tsla": 5}
    for spec in specs:
        load_strategy(spec)
        get_calendar(spec.calendar)


def test_the_shipped_universe_holds_what_is_traded_and_25_symbols_to_ingest() -> None:
    universe = load_universe()
    assert [(feed.name, feed.bar_size, len(feed.symbols)) for feed in universe.feeds] == [("minute", "1 min", 25)]
    assert {"AAPL", "FB", "GOOG", "IBM", "MSFT", "TSLA", "IWM", "BTC"} <= set(universe.instruments)
    bitcoin = universe.instruments["BTC"]
    assert (bitcoin.security_type, bitcoin.exchange, bitcoin.calendar) == ("CRYPTO", "PAXOS", "24/7")
    assert bitcoin.lot_size == Decimal("0.00001")
    apple = universe.instruments["AAPL"]
    assert (apple.security_type, apple.exchange, apple.primary_exchange, apple.currency) == (
        "STK",
        "SMART",
        "NASDAQ",
        "USD",
    )
    assert all(universe.instruments[symbol].primary_exchange for symbol in universe.ingested)


def test_the_shipped_specs_and_the_ingest_give_five_feeds() -> None:
    feeds = feeds_of(load_strategy_specs(), load_universe().feeds)
    assert [feed.name for feed in feeds] == ["daily", "btc", "iwm", "tsla", "minute"]


def test_loading_is_light_and_quick() -> None:
    code = (
        "import sys; from trading_platform.specs.loader import load_strategy_specs; load_strategy_specs();"
        "heavy = {'pandas', 'numpy', 'talib', 'exchange_calendars', 'dagster'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    times = []
    for _ in range(5):
        started = time.perf_counter()
        load_strategy_specs()
        times.append(time.perf_counter() - started)
    assert min(times) < 0.05


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"cadence_minute": 5}, "cadence_minute", r"unknown key \(did you mean cadence_minutes\?\)"),
        ({"zzz": 5}, "zzz", "unknown key; known: name, strategy, description"),
        ({"sizing": {"equity_fracton": 0.1}}, "sizing.equity_fracton", r"did you mean equity_fraction\?"),
        ({"sizing": {"equity_fraction": 1.5}}, "sizing.equity_fraction", r"less than or equal to 1 \(it says 1.5\)"),
        ({"sizing": {"method": "fixed_notionl"}}, "sizing.method", r"did you mean fixed_notional\?"),
        ({"sizing": {"method": "fixed_quantity"}}, "sizing", "fixed_quantity needs quantity"),
        ({"sizing": {"method": "volatility_target"}}, "sizing", "volatility_target needs target_volatility"),
        ({"sizing": {"method": "atr_risk"}}, "sizing", "atr_risk needs risk_fraction"),
        ({"sizing": {"method": "fractional_kelly"}}, "sizing", "fractional_kelly needs payoff_ratio"),
        ({"sizing": {"volatility_feature": "volatility_1"}}, "sizing.volatility_feature", "it says 'volatility_1'"),
        ({"sizing": {"atr_feature": "natr_14"}}, "sizing.atr_feature", "it says 'natr_14'"),
        ({"sizing": {"on_limit": "cutt"}}, "sizing.on_limit", r"did you mean cut\?"),
        ({"sizing": 5}, "sizing", "valid dictionary"),
        ({"bar_size": "5 min"}, "bar_size", r"'5 min' is none of 1 min, 5 mins, .*did you mean 5 mins\?"),
        ({"cadence_minutes": "often"}, "cadence_minutes", r"valid integer.*\(it says 'often'\)"),
        ({"cadence_minutes": None}, "", "an intraday strategy needs cadence_minutes"),
        ({"calendar": "XNYSE"}, "calendar", r"unknown calendar 'XNYSE' \(did you mean XNYS\?\)"),
        ({"calendar": "24/7"}, "calendar", "TSLA trades on XNYS, but the strategy says 24/7"),
        ({"strategy": "trend_momentun"}, "strategy", r"did you mean trend_momentum\?"),
        ({"universe": ["TSLAA"]}, "universe", r"no instrument 'TSLAA' .*did you mean TSLA\?"),
        ({"universe": ["tsla"]}, "universe", r"did you mean TSLA\?"),
        ({"universe": ["TSLA", "TSLA"]}, "universe", "names a symbol twice: TSLA"),
        ({"universe": [True]}, "universe.0", r"valid string \(it says True\)"),
        ({"parameters": {"fst": 5}}, "parameters.fst", r"no parameter 'fst' \(did you mean fast\?\)"),
        ({"parameters": {"fast": [1]}}, "parameters.fast", r"valid number \(it says \[1\]\)$"),
        ({"parameters": {"fast": 30}}, "parameters", r"slow \(26\) must be longer than fast \(30\)"),
        ({"name": "Tesla!"}, "name", r"it says 'Tesla!'"),
        ({"name": "minute"}, "name", "is the name of a feed"),
        ({"name": "trend_and_momentum_x"}, "name", "40 is the most: shorten the name of strategy"),
    ],
)
def test_a_typo_is_named_with_file_key_and_remedy(
    tmp_path: Path, changes: dict[str, object], key: str, message: str
) -> None:
    file = write(tmp_path, **changes)
    with pytest.raises(SpecError, match=message) as caught:
        load_strategy_specs(tmp_path)
    assert str(caught.value).startswith(f"{file}: ")
    assert caught.value.key == key
    assert len(str(caught.value)) < 600


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("name: x\nstrategy: trend_momentum\n")
    with pytest.raises(SpecError, match=r"description: this key is missing; universe: this key is missing"):
        load_strategy_specs(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: [x", "malformed YAML: line "),
        (b"name: x\nname: y\n", "line 2: the key 'name' is there twice"),
        (b"sizing:\n  1: 2\n", "line 2: the key 1 is not text; put it in quotes"),
        (b"", "must hold keys and values, but holds nothing"),
        (b"- a\n- b\n", "must hold keys and values, but holds list"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"name: \x00", "malformed YAML"),
        (b"name: !!python/object:os.system {}\n", "malformed YAML"),
        (b"[a, b]: 1\n", "line 1: the key"),
    ],
)
def test_a_file_that_is_no_spec_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(SpecError, match=message) as caught:
        load_strategy_specs(tmp_path)
    assert caught.value.path == tmp_path / "x.yaml"


def test_two_specs_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml")
    write(tmp_path, "b.yaml")
    with pytest.raises(SpecError, match=r"b\.yaml: name: the name 'tsla' is taken by a\.yaml"):
        load_strategy_specs(tmp_path)


def test_a_directory_that_is_absent_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="holds no strategy spec"):
        load_strategy_specs(tmp_path)
    with pytest.raises(SpecError, match="is no directory of strategy specs; set TRADING_PLATFORM_STRATEGIES"):
        load_strategy_specs(tmp_path / "absent")


def test_a_directory_may_bring_its_own_universe(tmp_path: Path) -> None:
    (tmp_path / "universe.yaml").write_text(UNIVERSE)
    write(tmp_path)
    with pytest.raises(SpecError, match="no instrument 'TSLA' in the universe file; known: AAPL, BTC"):
        load_strategy_specs(tmp_path)
    write(tmp_path, universe=["AAPL"])
    assert load_strategy_specs(tmp_path)[0].universe == ("AAPL",)
    assert load_universe(tmp_path).ingested == ("AAPL",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[AAPL]", "[AAPL, MSFT]", "feeds.minute.symbols: there is no instrument 'MSFT'"),
        ("[AAPL]", "[AAPL, AAPL]", "feeds.minute.symbols: names AAPL twice"),
        ("[AAPL]", "[AAPL, BTC]", r"feeds.minute.symbols: all symbols .* calendar XNYS, but there are BTC \(24/7\)"),
        ("[AAPL]", "[]", "feeds.minute: a feed needs symbols, members, or both"),
        ("1 min,", "1 minute,", r"feeds.minute.bar_size: '1 minute' is none of 1 min, .*did you mean 1 min\?"),
        ("1 min,", "1 min, calendar: XNYSE,", r"feeds.minute.calendar: unknown calendar 'XNYSE' \(did you mean XNYS\?"),
        ("minute:", "Minute:", "feeds.Minute: a feed's name is part of asset keys"),
        ("minute:", "daily:", "feeds.daily: names beginning with daily belong to the daily strategies"),
        ("minute:", "daily_xlon:", "feeds.daily_xlon: names beginning with daily"),
        ("feeds:", "feed:", r"feed: unknown key \(did you mean feeds\?\)"),
        ("feeds:", "ingest: [AAPL]\nfeeds:", "the key ingest is now a feed: write feeds: "),
        ("primary_exchange", "primary_exchang", r"instruments.AAPL.primary_exchang: unknown key \(did you mean prim"),
        ("CRYPTO", "CRYPT", r"instruments.BTC.security_type: 'CRYPT' is none of STK, CRYPTO, CASH"),
        ("24/7", "24x7", "instruments.BTC.calendar: unknown calendar '24x7'"),
        ("0.00001", "-1", r"instruments.BTC.lot_size: Input should be greater than 0"),
        ("AAPL: {primary", "ON: {primary", "the key True is not text; put it in quotes"),
    ],
)
def test_a_mistake_in_the_universe_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "universe.yaml"
    file.write_text(UNIVERSE.replace(old, new))
    with pytest.raises(SpecError, match=message):
        load_universe(file)


def test_the_shipped_facebook_is_meta_at_the_broker_today_and_was_another_company_before_2003() -> None:
    universe = load_universe()
    assert universe.on(date(2026, 11, 26)).instruments["FB"].broker_symbol == "META"
    assert universe.on(date(2013, 2, 28)).instruments["FB"].broker_symbol == "FB"
    assert not universe.instruments["FB"].is_listed(date(2001, 9, 10))
    assert universe.tickers.instrument_of("META", date(2026, 11, 26), "XNYS") == "FB"
    assert universe.on(date(2026, 11, 26)).names.symbol_of("META", "STK", "USD") == "FB"


def test_two_bearers_of_one_ticker_may_stand_in_one_universe(tmp_path: Path) -> None:
    file = tmp_path / "universe.yaml"
    file.write_text(
        "instruments:\n  FB: {tickers: [{ticker: FB, first: 2012-05-18, last: 2022-06-08}, "
        "{ticker: META, first: 2022-06-09}]}\n"
        "  FB.1: {tickers: [{ticker: FB, first: 1999-09-29, last: 2003-03-28}]}\n"
    )
    universe = load_universe(file)
    assert universe.tickers.instrument_of("FB", date(2001, 9, 10), "XNYS") == "FB.1"
    assert universe.tickers.instrument_of("FB", date(2013, 2, 28), "XNYS") == "FB"
    assert universe.on(date(2013, 2, 28)).names.symbol_of("FB", "STK", "USD") == "FB"
    assert universe.on(date(2013, 2, 28)).instruments["FB.1"].broker_symbol is None
    with pytest.raises(TickerError, match="are both FB STK USD at the broker"):
        _ = universe.since(date(2000, 1, 3)).names


ABROAD = """
instruments:
  AAPL: {}
  VOD.LSE: {ticker: VOD, primary_exchange: LSE, currency: GBP, calendar: XLON}
  EUR.USD: {security_type: CASH, exchange: IDEALPRO, calendar: FX}
  TOYOTA: {ticker: "7203", currency: USD, calendar: XTKS, bar_sizes: [1 day]}
  SONY: {ticker: "6758", currency: USD, calendar: XTKS}
  FB: {tickers: [{ticker: FB, first: 2012-05-18, last: 2022-06-08}, {ticker: META, first: 2022-06-09}]}
feeds:
  minute: {bar_size: 1 min, symbols: [AAPL]}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("EUR.USD:", "EURUSD:", "instruments.EURUSD: foreign exchange is named by its pair, such as EUR.USD"),
        ("EUR.USD:", "EUR.GBP:", "instruments.EUR.GBP: foreign exchange is named by its pair"),
        ("calendar: FX", "calendar: 24/5", "instruments.EUR.USD.calendar: .*trades on the calendar FX"),
        ("first: 2022-06-09", "first: 2022-06-08", "instruments: FB as FB .* and FB as META .* overlap"),
        ("last: 2022-06-08", "last: 2012-05-17", "instruments.FB.tickers: FB ends on 2012-05-17, before it begins"),
        ("FB: {tickers", "FB: {ticker: FB, tickers", "instruments.FB.ticker: .*leave it out beside tickers"),
        ("AAPL: {}", "AAPL: {}\n  META: {}", "instruments: META as META .* and FB as META .* overlap"),
        ("{ticker: VOD,", "{ticker: AAPL, currency: USD,", "there twice"),
        ("{ticker: VOD, primary_exchange: LSE, currency: GBP", "{ticker: AAPL", "VOD.LSE are both AAPL STK USD at the"),
        (
            "AAPL: {}",
            "AAPL: {bar_sizes: [1 day, 1 hour]}",
            "feeds.minute.bar_size: AAPL may have bars of 1 day, 1 hour",
        ),
        ("AAPL: {}", "AAPL: {bar_sizes: [1 week]}", "instruments.AAPL.bar_sizes.0: "),
        ("1 min, symbols: [AAPL]", "5 mins, calendar: XTKS, symbols: [SONY]", "XTKS, which rests at noon: .*Use 1 day"),
        ("AAPL: {}", "AAPL: {con_id: 0}", "instruments.AAPL.con_id: .*greater than 0"),
    ],
)
def test_a_mistake_about_an_instrument_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "universe.yaml"
    file.write_text(ABROAD)
    load_universe(file)
    assert old in ABROAD
    file.write_text(ABROAD.replace(old, new))
    with pytest.raises(SpecError, match=message):
        load_universe(file)


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"universe": ["VOD.LSE"], "calendar": "XLON"}, "universe", "may trade VOD.LSE: it is priced in GBP"),
        ({"universe": ["EUR.USD"], "calendar": "FX"}, "universe", "may trade EUR.USD: it is foreign exchange"),
        ({"universe": ["SONY"], "calendar": "XTKS"}, "bar_size", "rests at noon"),
        ({"universe": ["TOYOTA"], "calendar": "XTKS"}, "bar_size", "TOYOTA may have bars of 1 day only"),
    ],
)
def test_what_the_risk_controls_can_not_judge_no_strategy_may_trade(
    tmp_path: Path, changes: dict[str, object], key: str, message: str
) -> None:
    (tmp_path / "universe.yaml").write_text(ABROAD)
    write(tmp_path, **changes)
    with pytest.raises(SpecError, match=message) as caught:
        load_strategy_specs(tmp_path)
    assert caught.value.key == key


def test_a_daily_strategy_may_trade_what_is_priced_in_usd_on_another_exchange(tmp_path: Path) -> None:
    (tmp_path / "universe.yaml").write_text(ABROAD)
    daily = {"bar_size": "1 day", "cadence_minutes": None, "history_sessions": 80}
    write(tmp_path, "a.yaml", name="drift", universe=["SONY"], calendar="XTKS", **daily)
    write(tmp_path, "b.yaml", name="hold", universe=["AAPL"], **daily)
    feeds = feeds_of(load_strategy_specs(tmp_path), ())
    assert {feed.name: feed.calendar for feed in feeds} == {"daily": "XNYS", "daily_xtks": "XTKS"}


def test_feeds_of_several_exchanges_stand_side_by_side(tmp_path: Path) -> None:
    file = tmp_path / "universe.yaml"
    file.write_text(
        "instruments: {AAPL: {}, BTC: {security_type: CRYPTO, calendar: 24/7}, VOD: {currency: GBP, calendar: XLON}}\n"
        "feeds:\n  hours: {bar_size: 1 hour, symbols: [AAPL], description: Hours.}\n"
        "  coins: {bar_size: 15 mins, calendar: 24/7, symbols: [BTC]}\n"
        "  london: {bar_size: 1 day, calendar: XLON, symbols: [VOD]}\n"
    )
    universe = load_universe(file)
    assert [(feed.name, feed.calendar, feed.bar_size, feed.symbols) for feed in universe.feeds] == [
        ("hours", "XNYS", "1 hour", ("AAPL",)),
        ("coins", "24/7", "15 mins", ("BTC",)),
        ("london", "XLON", "1 day", ("VOD",)),
    ]
    assert universe.feeds[0].description == "Hours."


def test_a_strategy_may_not_have_the_name_of_a_feed_that_others_share(tmp_path: Path) -> None:
    (tmp_path / "universe.yaml").write_text(
        "instruments: {TSLA: {}}\nfeeds: {tsla: {bar_size: 1 min, symbols: [TSLA]}}\n"
    )
    write(tmp_path)
    with pytest.raises(SpecError, match="'tsla' is the name of a feed; choose another"):
        load_strategy_specs(tmp_path)


def test_a_universe_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        load_universe(tmp_path / "absent.yaml")


def test_symbols_narrow_every_universe_and_leave_out_strategies_without_one() -> None:
    specs, universe = load_strategy_specs(), load_universe()
    narrowed = narrow(specs, ["IBM", "AAPL"])
    assert [(spec.name, spec.universe) for spec in narrowed] == [("momentum", ("AAPL", "IBM"))]
    assert narrow(specs, None) == specs
    assert narrow_ingest(universe, ["IBM", "AAPL"]).ingested == ("AAPL", "IBM")
    assert narrow_ingest(universe, None) is universe


def test_a_symbol_of_the_ingest_alone_is_known_when_the_universe_is_given() -> None:
    specs, universe = load_strategy_specs(), load_universe()
    assert narrow(specs, ["NVDA"], universe=universe) == ()
    with pytest.raises(UnknownSymbolError, match="unknown symbol NVDA"):
        narrow(specs, ["NVDA"])


def test_an_unknown_symbol_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownSymbolError, match=r"unknown symbol AAPLE \(did you mean AAPL\?\).*known: AAPL, BTC, FB"):
        narrow(load_strategy_specs(), ["AAPLE"])
    with pytest.raises(UnknownSymbolError, match="unknown symbol XX, YY: "):
        narrow(load_strategy_specs(), ["AAPL", "XX", "YY"])


def test_the_shipped_limits_are_every_field_of_the_account_and_bind_every_strategy() -> None:
    limits = load_risk_limits()
    assert limits.account.model_fields_set >= set(AccountLimits.model_fields) - {"allowed_symbols"}
    specs = {spec.name: spec for spec in load_strategy_specs()}
    assert specs["momentum"].limits.max_order_notional_usd == 100_000
    assert specs["tsla"].limits.max_order_notional_usd == 50_000
    assert all(spec.account_limits == limits.account for spec in specs.values())
    assert all(spec.limits == limits.for_strategy(name) for name, spec in specs.items())


def test_every_shipped_instrument_has_a_sector() -> None:
    assert all(instrument.sector for instrument in load_universe().instruments.values())


def test_a_directory_may_bring_its_own_limits(tmp_path: Path) -> None:
    write(tmp_path)
    assert load_strategy_specs(tmp_path)[0].limits.max_orders_per_day == 1000
    (tmp_path / "risk.yaml").write_text(
        "account: {max_orders_per_day: 7, restricted_symbols: [IBM]}\n"
        "strategies: {tsla: {max_orders_per_minute: 3, restricted_symbols: [AMD]}}\n"
    )
    (spec,) = load_strategy_specs(tmp_path)
    assert (spec.limits.max_orders_per_day, spec.limits.max_orders_per_minute) == (7, 3)
    assert (spec.account_limits.max_orders_per_minute, spec.limits.restricted_symbols) == (60, {"AMD", "IBM"})


@pytest.mark.parametrize("key", ["limits", "account_limits"])
def test_limits_in_a_strategy_s_file_are_sent_to_the_one_place_for_them(tmp_path: Path, key: str) -> None:
    file = write(tmp_path, **{key: {"max_order_notional_usd": 1000}})
    with pytest.raises(SpecError, match="move them to strategies") as caught:
        load_strategy_specs(tmp_path)
    assert (caught.value.path, caught.value.key) == (file, key)


@pytest.mark.parametrize(
    ("content", "key", "message"),
    [
        ("account: {max_orders: 5}", "account.max_orders", "unknown key .did you mean max_open_orders"),
        ("account: {max_open_orders: 0}", "account.max_open_orders", r"greater than 0 \(it says 0\)"),
        ("strategies: {tsla: {max_leverage: 2}}", "strategies.tsla.max_leverage", "unknown key"),
        ("strategies: {tsl: {max_open_orders: 1}}", "strategies.tsl", r"no strategy 'tsl' \(did you mean tsla\?\)"),
        ("account: {restricted_symbols: [TSLAA]}", "account.restricted_symbols", r"'TSLAA'.*did you mean TSLA\?"),
        (
            "strategies: {tsla: {allowed_symbols: [XX]}}",
            "strategies.tsla.allowed_symbols",
            "there is no instrument 'XX'",
        ),
        (
            "strategies: {tsla: {max_order_notional_usd: 50001}}",
            "strategies.tsla.max_order_notional_usd",
            "50001 is looser than the account's 50000: a strategy may only tighten limits",
        ),
        (
            "strategies: {tsla: {is_short_allowed: true}}",
            "strategies.tsla.is_short_allowed",
            "true is looser than the account's false",
        ),
        (
            "strategies: {tsla: {duplicate_window_seconds: 59}}",
            "strategies.tsla.duplicate_window_seconds",
            "59 is looser than the account's 60",
        ),
        (
            "account: {allowed_symbols: [IBM]}\nstrategies: {tsla: {allowed_symbols: [AMD, IBM]}}",
            "strategies.tsla.allowed_symbols",
            "AMD, IBM is looser than the account's IBM",
        ),
        (
            "account: {allowed_symbols: [IBM]}\nstrategies: {tsla: {allowed_symbols: null}}",
            "strategies.tsla.allowed_symbols",
            "all symbols is looser than the account's IBM",
        ),
        ("limits: {}", "limits", "unknown key; known: account, strategies"),
    ],
)
def test_a_mistake_in_the_limits_is_named(tmp_path: Path, content: str, key: str, message: str) -> None:
    write(tmp_path)
    (tmp_path / "risk.yaml").write_text(content)
    with pytest.raises(SpecError, match=message) as caught:
        load_strategy_specs(tmp_path)
    assert (caught.value.path, caught.value.key) == (tmp_path / "risk.yaml", key)


def test_limits_can_only_be_tightened(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "risk.yaml").write_text(
        "account: {allowed_symbols: [IBM, TSLA], is_short_allowed: true}\n"
        "strategies: {tsla: {allowed_symbols: [TSLA], duplicate_window_seconds: 61, max_open_orders: 50,"
        " loss_pause_minutes: 61, is_short_allowed: false, restricted_symbols: []}}\n"
    )
    limits = load_strategy_specs(tmp_path)[0].limits
    assert limits.allowed_symbols == {"TSLA"}
    assert not limits.is_short_allowed


def test_the_shipped_data_quality_is_what_is_built_in() -> None:
    shipped, built_in = load_data_quality(), DataQuality()
    for bar_size in ("1 day", "5 mins"):
        ours, theirs = shipped.rules_for(bar_size), built_in.rules_for(bar_size)
        assert ours.model_dump(exclude={"severities"}) == theirs.model_dump(exclude={"severities"})
        assert {code: ours.severity(code) for code in SEVERITIES} == {
            code: theirs.severity(code) for code in SEVERITIES
        }
    assert shipped.rules_for("1 hour", security_type="CRYPTO").wick_pct == 20
    assert shipped.rules_for("5 mins", security_type="CASH").severity("zero_volume") == "ignore"


@pytest.mark.parametrize(
    ("content", "key", "problem"),
    [
        ("daily: {wick_pct: -1}", "daily.wick_pct", "greater than 0"),
        ("daily: {wicks_pct: 1}", "daily.wicks_pct", "did you mean wick_pct"),
        ("daily: {severities: {bad_prints: hold}}", "daily.severities", "did you mean bad_print"),
        ("daily: {severities: {bad_print: off}}", "daily.severities.bad_print", "Input should be 'quarantine', 'hold'"),
        ("security_types: {STOCK: {}}", "security_types.STOCK", "Input should be 'STK'"),
        ("feeds: {dayly: {wick_pct: 1}}", "feeds.dayly", "did you mean daily"),
    ],
)
def test_a_mistake_in_data_quality_is_named_with_file_key_and_remedy(
    tmp_path: Path, content: str, key: str, problem: str
) -> None:
    (tmp_path / "data_quality.yaml").write_text(content)
    with pytest.raises(SpecError) as caught:
        load_data_quality(tmp_path, feeds=["daily", "minute"])
    assert caught.value.key == key
    assert problem in str(caught.value)
    assert str(tmp_path / "data_quality.yaml") in str(caught.value)
