"""Learning splits and dividends from a broker, over the real socket: nothing is dropped, no symbol costs the others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest

from trading_platform.brokers.base import NoDataError
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.domain.instruments import Instrument
from trading_platform.ingest.corporate_actions import LearnedActions, actions_of, learn_actions
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.schemas.base import empty, validate
from trading_platform.schemas.market_data import CorporateActions

NOW = datetime(2012, 11, 8, 15, 0, tzinfo=timezone.utc)
INSTRUMENTS = {
    "AAPL": Instrument("AAPL"),
    "FB": Instrument("FB"),
    "BTC": Instrument("BTC", security_type="CRYPTO", exchange="PAXOS", calendar="24/7"),
}


@pytest.fixture(scope="module")
def broker() -> Iterator[IBKRBroker]:
    gateway = PaperGateway(GatewayConfig(port=0, account="DU1"), lambda: NOW).start_in_thread()
    with IBKRBroker(IBKRConfig(port=gateway.port)) as connected:
        yield connected
    gateway.stop_in_thread()


def stored(broker: IBKRBroker, *symbols: str) -> pd.DataFrame:
    """Daily bars as the lake would have them: as traded, the running session's not final."""
    frames = [
        broker.historical_bars(INSTRUMENTS[symbol], end=None, duration="1 Y", bar_size="1 day").assign(symbol=symbol)
        for symbol in symbols
    ]
    bars = pd.concat(frames, ignore_index=True)
    session = bars["ts_utc"].dt.strftime("%Y-%m-%d")
    return bars.assign(session=session, is_final=session < NOW.date().isoformat())


def learn(
    broker: IBKRBroker, bars: pd.DataFrame, known: pd.DataFrame | None = None, **more: datetime
) -> LearnedActions:
    table = empty(CorporateActions) if known is None else known
    return learn_actions(broker, INSTRUMENTS, bars, table, now=more.get("now", NOW))


def test_a_years_dividends_are_learned_and_fit_the_contract(broker):
    learned = learn(broker, stored(broker, "AAPL", "FB", "BTC"))
    assert learned.failures == {}
    assert learned.new == len(learned.table) == 2
    assert validate(CorporateActions, learned.table)["ex_session"].tolist() == ["2012-08-09", "2012-11-07"]
    assert [(action.symbol, action.kind) for action in actions_of(learned.table)] == [("AAPL", "dividend")] * 2
    assert learned.table["value"].tolist() == pytest.approx([2.65, 2.65], abs=0.15)


def test_an_action_that_goes_ex_today_is_learned_before_todays_bar_is_stored(broker):
    bars = stored(broker, "AAPL")
    learned = learn(broker, bars[bars["session"] < "2012-11-07"])
    assert "2012-11-08" not in set(learned.table["ex_session"])  # yesterday's bar is missing, not only today's
    day = datetime(2012, 11, 7, 15, 0, tzinfo=timezone.utc)
    gateway = PaperGateway(GatewayConfig(port=0, account="DU1"), lambda: day).start_in_thread()
    with IBKRBroker(IBKRConfig(port=gateway.port)) as on_the_day:
        learned = learn(on_the_day, bars[bars["session"] < "2012-11-07"], now=day)
    gateway.stop_in_thread()
    assert learned.table["ex_session"].tolist() == ["2012-08-09", "2012-11-07"]


def test_what_was_seen_first_keeps_its_time_and_is_confirmed(broker):
    bars = stored(broker, "AAPL")
    first = learn(broker, bars)
    again = learn(broker, bars, first.table, now=NOW + timedelta(days=1))
    assert again.new == 0
    assert again.vanished.empty
    assert again.table["first_seen_utc"].tolist() == first.table["first_seen_utc"].tolist()
    assert set(again.table["last_confirmed_utc"]) == {pd.Timestamp(NOW + timedelta(days=1))}


def test_an_action_that_the_source_no_longer_shows_is_kept_and_named(broker):
    bars = stored(broker, "AAPL")
    known = learn(broker, bars).table
    invented = known.head(1).assign(ex_session="2012-10-01", value=1.0)
    older = known.head(1).assign(ex_session="2001-10-01", value=1.0)
    learned = learn(broker, bars, pd.concat([older, known, invented], ignore_index=True))
    assert learned.vanished["ex_session"].tolist() == ["2012-10-01"]  # nobody compared 2001
    assert learned.table["ex_session"].tolist() == ["2001-10-01", "2012-08-09", "2012-10-01", "2012-11-07"]


def test_one_symbol_without_an_answer_costs_the_others_nothing(broker, monkeypatch):
    bars = stored(broker, "AAPL", "FB")
    ask = broker.historical_bars

    def refuse(instrument: Instrument, **request: object) -> pd.DataFrame:
        if instrument.symbol == "FB":
            msg = "no data for FB"
            raise NoDataError(msg)
        return ask(instrument, **request)

    monkeypatch.setattr(broker, "historical_bars", refuse)
    learned = learn(broker, bars)
    assert dict(learned.failures) == {"FB": "no data for FB"}
    assert set(learned.table["symbol"]) == {"AAPL"}


def test_adjusted_bars_of_something_else_than_a_stock_are_refused(broker):
    with pytest.raises(ValueError, match="BTC is no stock"):
        broker.historical_bars(INSTRUMENTS["BTC"], end=None, duration="5 D", bar_size="1 day", is_adjusted=True)


def test_the_last_adjusted_bar_is_as_traded_and_older_ones_are_lower(broker):
    request = {"end": None, "duration": "6 M", "bar_size": "1 day"}
    plain = broker.historical_bars(INSTRUMENTS["AAPL"], **request).set_index("ts_utc")["close"]
    adjusted = broker.historical_bars(INSTRUMENTS["AAPL"], **request, is_adjusted=True).set_index("ts_utc")["close"]
    assert adjusted.iloc[-1] == plain.iloc[-1]
    assert (adjusted[plain.index.date < date(2012, 11, 7)] < plain[plain.index.date < date(2012, 11, 7)]).all()
