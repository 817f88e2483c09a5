"""Asking watch list and scanner, resolving what is new, and fetching each member's own sessions.

Against a real gateway over a real socket; what no sane gateway does, by a broker that wraps the real one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trading_platform.brokers.base import BrokerConnectionError, BrokerTimeoutError, ScanRefusedError
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.clock import ManualClock
from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.member_records import Part
from trading_platform.domain.market_data.members import Member, MembersSpec
from trading_platform.domain.market_data.scans import Scan, ScanRow
from trading_platform.domain.market_data.watch_lists import Watched
from trading_platform.ingest.bars import NoBarsError
from trading_platform.ingest.collect import Collected, Wish
from trading_platform.ingest.members import Look, collect_parts, look
from trading_platform.ingest.sources.broker import BrokerSource
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.storage.bar_store import BarStore
from trading_platform.storage.lake import Lake

NOW = datetime(2013, 2, 28, 20, 45, tzinfo=timezone.utc)
SCAN = MembersSpec(scan=Scan("MOST_ACTIVE", limit=5))
WATCH = MembersSpec(watch_list="default")
FEED = Feed("movers", "XNYS", "5 mins", ("AAPL",), 1, (), "", SCAN)
UNIVERSE = {"AAPL": Instrument("AAPL"), "IBM": Instrument("IBM", primary_exchange="NYSE")}
COIN = Instrument("BTC", "CRYPTO", "PAXOS", calendar="24/7")


@pytest.fixture(scope="module")
def broker() -> Iterator[IBKRBroker]:
    gateway = PaperGateway(GatewayConfig(port=0, pacing_enabled=False), ManualClock(NOW).now).start_in_thread()
    with IBKRBroker(IBKRConfig(port=gateway.port, read_attempts=1)) as connected:
        yield connected
    gateway.stop_in_thread()


class Bent:
    """A broker whose scans and details can be replaced; everything else is the real one's."""

    def __init__(self, broker: IBKRBroker, *, rows: Sequence[ScanRow] = (), **trouble: Exception) -> None:
        self._broker = broker
        self._rows = rows
        self._trouble = trouble
        self.asked: list[str] = []

    def scan(self, wanted: Scan) -> Sequence[ScanRow]:
        if "scan" in self._trouble:
            raise self._trouble["scan"]
        return self._rows

    def instrument_details(self, instrument: Instrument) -> InstrumentDetails:
        self.asked.append(instrument.symbol)
        if instrument.symbol in self._trouble:
            raise self._trouble[instrument.symbol]
        return self._broker.instrument_details(instrument)


def row(rank: int, symbol: str, con_id: int, **more: str) -> ScanRow:
    return ScanRow(rank, con_id, symbol, **{"security_type": "STK", "exchange": "SMART", "currency": "USD", **more})


AAPL, IBM, MSFT = row(1, "AAPL", 265598), row(2, "IBM", 8314), row(3, "MSFT", 272093)


def looked(broker: Any, spec: MembersSpec = SCAN, **more: Any) -> Look:
    """One look, with nothing known before unless said."""
    given: dict[str, Any] = {"feed": FEED, "instruments": UNIVERSE, "known": (), "listed": (), "now": NOW, **more}
    return look(broker, spec=spec, **given)


def watching(*symbols: str) -> list[Watched]:
    return [Watched(symbol, "ann", NOW, "earnings") for symbol in symbols]


def test_a_scans_rows_become_members_with_rank_source_and_moment(broker: IBKRBroker) -> None:
    found = looked(broker)
    ranking = broker.scan(SCAN.scan or Scan("MOST_ACTIVE"))
    assert [(one.symbol, one.con_id, one.rank) for one in found.members] == [
        (one.symbol, one.con_id, one.rank) for one in ranking if one.symbol != "AAPL"
    ]
    assert {(one.source, one.why, one.first_seen_utc) for one in found.members} == {
        ("scan MOST_ACTIVE", "MOST_ACTIVE at STK.US.MAJOR, best 5", NOW)
    }
    assert (found.left_out, found.failures) == ((), {})
    assert found.messages == 2 + len(found.members)


def test_symbols_that_the_feed_collects_anyway_are_no_members_and_are_told(broker: IBKRBroker) -> None:
    found = looked(Bent(broker, rows=[AAPL, IBM]))
    assert [one.symbol for one in found.members] == ["IBM"]
    assert found.collected_anyway == ("AAPL",)


def test_the_universes_instrument_is_used_where_it_has_one_and_a_us_stock_otherwise(broker: IBKRBroker) -> None:
    found = looked(Bent(broker, rows=[IBM, MSFT]))
    assert [one.instrument for one in found.members] == [
        replace(UNIVERSE["IBM"], con_id=8314),
        Instrument("MSFT", con_id=272093),
    ]


def test_a_watch_list_names_members_with_the_persons_reason(broker: IBKRBroker) -> None:
    (one,) = looked(broker, WATCH, listed=watching("IBM")).members
    assert (one.symbol, one.source, one.why, one.rank) == ("IBM", "watch list default", "ann: earnings", None)


def test_both_sources_together_name_each_symbol_once(broker: IBKRBroker) -> None:
    both = MembersSpec("default", Scan("MOST_ACTIVE"))
    found = looked(Bent(broker, rows=[IBM, MSFT]), both, listed=watching("IBM"))
    assert [(one.symbol, one.source) for one in found.members] == [
        ("IBM", "watch list default"),
        ("MSFT", "scan MOST_ACTIVE"),
    ]


def test_who_is_known_is_not_asked_about_again(broker: IBKRBroker) -> None:
    bent = Bent(broker, rows=[IBM, MSFT])
    first = looked(bent)
    again = looked(bent, known=first.members, now=NOW + timedelta(minutes=5))
    assert again.members == first.members
    assert bent.asked == ["IBM", "MSFT"]
    assert again.messages == 2


@pytest.mark.parametrize("trouble", [ScanRefusedError("unknown code"), BrokerTimeoutError("no list in time")])
def test_a_scan_that_fails_costs_no_member_and_is_told(broker: IBKRBroker, trouble: Exception) -> None:
    known = looked(Bent(broker, rows=[IBM])).members
    found = looked(Bent(broker, scan=trouble), known=known, now=NOW + timedelta(minutes=5))
    assert found.members == known
    assert found.failures == {"scan MOST_ACTIVE": str(trouble)}


def test_an_empty_scan_is_an_answer_and_marks_who_has_left(broker: IBKRBroker) -> None:
    known = looked(Bent(broker, rows=[IBM])).members
    later = NOW + timedelta(minutes=5)
    (one,) = looked(Bent(broker), known=known, now=later).members
    assert (one.symbol, one.left_utc) == ("IBM", later)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(1, "NOSUCH", 1), "200"),
        (row(1, "IBM", 99), "the scan means contract 99, and IBM at SMART in USD is contract 8314"),
        (row(1, "RY", 1, currency="CAD"), "it is STK in CAD"),
        (row(1, "ES", 1, security_type="FUT"), "it is FUT in USD"),
    ],
)
def test_what_the_broker_does_not_know_as_what_was_meant_is_left_out_visibly(
    broker: IBKRBroker, bad: ScanRow, reason: str
) -> None:
    found = looked(Bent(broker, rows=[bad, MSFT]))
    assert [one.symbol for one in found.members] == ["MSFT"]
    (out,) = found.left_out
    assert out.symbol == bad.symbol
    assert reason in out.reason


def test_who_trades_on_another_calendar_is_left_out(broker: IBKRBroker) -> None:
    found = looked(broker, WATCH, instruments={**UNIVERSE, "BTC": COIN}, listed=watching("BTC"))
    assert "universe.yaml says 24/7, and the feed collects XNYS" in found.left_out[0].reason
    always = replace(FEED, calendar="24/7", symbols=())
    found = looked(broker, WATCH, feed=always, instruments={"BTC": COIN}, listed=watching("BTC", "IBM"))
    assert [one.symbol for one in found.members] == ["BTC"]
    assert "US stock, which trades XNYS" in found.left_out[0].reason


def test_who_may_not_be_collected_in_bars_of_that_size_is_left_out(broker: IBKRBroker) -> None:
    found = looked(Bent(broker, rows=[IBM]), instruments={"IBM": Instrument("IBM", bar_sizes=("1 day",))})
    assert "universe.yaml allows it 1 day, and not 5 mins" in found.left_out[0].reason


def test_a_recorded_contract_that_is_called_something_else_by_now_gets_no_bars(
    broker: IBKRBroker, tmp_path: Path
) -> None:
    other = {"IBM": Instrument("IBM", con_id=272093)}
    with pytest.raises(NoBarsError, match="contract 272093 is MSFT at the broker"):
        collected(broker, tmp_path, [(replace(FEED, symbols=("IBM",)), SESSIONS)], other)


def test_who_finds_no_room_is_left_out(broker: IBKRBroker) -> None:
    found = looked(Bent(broker, rows=[IBM, MSFT]), replace(SCAN, max_members=1))
    assert [one.symbol for one in found.members] == ["IBM"]
    assert [(one.symbol, "its 1 members" in one.reason) for one in found.left_out] == [("MSFT", True)]


def test_a_broker_that_is_gone_is_asked_once_and_not_per_symbol(broker: IBKRBroker) -> None:
    bent = Bent(broker, IBM=BrokerConnectionError("gone"))
    found = looked(bent, WATCH, listed=watching("MSFT", "IBM", "KO", "PEP"))
    assert [one.symbol for one in found.members] == ["MSFT"]
    assert [(one.symbol, one.reason) for one in found.left_out] == [(name, "gone") for name in ("IBM", "KO", "PEP")]
    assert bent.asked == ["MSFT", "IBM"]


def member(symbol: str) -> Member:
    return Member(Instrument(symbol), 1, "scan MOST_ACTIVE", "why", 1, NOW)


SESSIONS = (date(2013, 2, 26), date(2013, 2, 27))
INSTRUMENTS = {**UNIVERSE, "MSFT": Instrument("MSFT"), "NOSUCH": Instrument("NOSUCH")}


def collected(
    broker: IBKRBroker, home: Path, parts: Sequence[Part], instruments: Mapping[str, Instrument] = INSTRUMENTS
) -> tuple[Collected, pd.DataFrame]:
    store = BarStore(Lake(str(home)), FEED.name)
    limits = {symbol: 0.0001 for feed, _ in parts for symbol in feed.symbols}
    done = collect_parts(BrokerSource(broker), store, parts, instruments, clock=lambda: NOW, wish=Wish(limits, {}))
    return done, store.bars([session.isoformat() for session in SESSIONS])


def test_each_part_is_collected_in_its_own_sessions(broker: IBKRBroker, tmp_path: Path) -> None:
    parts = [(FEED, SESSIONS), (replace(FEED, symbols=("MSFT",)), SESSIONS[1:])]
    done, bars = collected(broker, tmp_path, parts)
    counts = bars.groupby(["symbol", "session"]).size().to_dict()
    assert counts == {("AAPL", "2013-02-26"): 78, ("AAPL", "2013-02-27"): 78, ("MSFT", "2013-02-27"): 78}
    assert done.failures == {}


def test_a_member_without_bars_never_costs_the_others(broker: IBKRBroker, tmp_path: Path) -> None:
    parts = [(FEED, SESSIONS), (replace(FEED, symbols=("NOSUCH",)), SESSIONS[1:])]
    done, bars = collected(broker, tmp_path, parts)
    assert set(bars["symbol"]) == {"AAPL"}
    assert set(done.failures) == {"NOSUCH"}


def test_nobody_with_bars_is_an_error_and_nobody_at_all_is_none(broker: IBKRBroker, tmp_path: Path) -> None:
    alone = [(replace(FEED, symbols=("NOSUCH",)), SESSIONS)]
    with pytest.raises(NoBarsError, match="NOSUCH"):
        collected(broker, tmp_path, alone)
    assert collected(broker, tmp_path, [])[0].bars == 0
