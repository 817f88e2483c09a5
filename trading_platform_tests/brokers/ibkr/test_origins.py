"""Where prices come from is asked of a gateway once a day, whichever process wants to know."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from trading_platform.brokers.base import BrokerTimeoutError, GatewaySickError, UnknownInstrumentError
from trading_platform.brokers.ibkr.breaker import BreakerPolicy
from trading_platform.brokers.ibkr.origins import KEPT_SECONDS, DataOrigins
from trading_platform.brokers.ibkr.shared_state import SharedState
from trading_platform.clock import ManualClock
from trading_platform.domain.instruments import Instrument
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.faults import Mute
from trading_platform.paper_gateway.messages.ids import Outgoing
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform_tests.brokers.ibkr.conftest import MOMENT, BrokerFactory
from trading_platform_tests.brokers.ibkr.scripted_gateway import HANG_UP, START_API, ScriptedGateway

AAPL, IBM = Instrument("AAPL"), Instrument("IBM")


class Teller:
    """Tells origins, and remembers how often it was asked."""

    def __init__(self, origin: str = "broker") -> None:
        self.origin, self.asked = origin, 0

    def __call__(self) -> str:
        self.asked += 1
        return self.origin


def test_the_next_run_does_not_ask_again(
    paper_gateway: PaperGateway, make_broker: BrokerFactory, tmp_path: Path
) -> None:
    first = make_broker(port=paper_gateway.port, state_dir=tmp_path)
    told = first.data_origin(AAPL)
    assert told == first.instrument_details(AAPL).data_origin != ""
    first.close()
    paper_gateway.faults.add(Mute(Outgoing.CONTRACT_DETAILS_END))
    next_run = make_broker(port=paper_gateway.port, state_dir=tmp_path, request_timeout_seconds=0.2)
    assert next_run.data_origin(AAPL) == told
    with pytest.raises(BrokerTimeoutError):
        next_run.instrument_details(AAPL)
    with pytest.raises(BrokerTimeoutError):
        next_run.data_origin(IBM)


def test_what_the_gateway_does_not_know_is_asked_every_time(
    paper_gateway: PaperGateway, make_broker: BrokerFactory, tmp_path: Path
) -> None:
    broker = make_broker(port=paper_gateway.port, state_dir=tmp_path)
    for _ in range(2):
        with pytest.raises(UnknownInstrumentError):
            broker.data_origin(Instrument("NOPE"))


def test_a_sick_gateway_is_not_connected_to_for_it(make_broker: BrokerFactory, tmp_path: Path) -> None:
    with ScriptedGateway(scripts={START_API: lambda _: HANG_UP}) as gateway:
        policy = BreakerPolicy(failures=3, probe_seconds=600, together_seconds=0.001)
        broker = make_broker(port=gateway.port, state_dir=tmp_path, breaker=policy, read_attempts=9)
        for _ in range(2):
            with pytest.raises(GatewaySickError):
                broker.data_origin(AAPL)
        assert gateway.connections == 3


def test_another_account_and_another_contract_are_asked_for_anew(tmp_path: Path) -> None:
    origins, teller = DataOrigins(SharedState(tmp_path / "origins.json")), Teller()
    for account, instrument in (("DU1", AAPL), ("DU2", AAPL), ("DU1", replace(AAPL, con_id=265598)), ("DU1", AAPL)):
        assert origins.origin_of(account, instrument, teller) == "broker"
    assert teller.asked == 3


@pytest.mark.parametrize(("seconds", "asked"), [(KEPT_SECONDS - 1, 1), (KEPT_SECONDS, 2), (-1.0, 2)])
def test_it_is_good_for_a_day_and_not_for_a_machine_that_started_anew(
    tmp_path: Path, seconds: float, asked: int
) -> None:
    state, teller = SharedState(tmp_path / "origins.json"), Teller()
    for now in (5.0, 5.0 + seconds):
        DataOrigins(state, now=lambda now=now: now).origin_of("DU1", AAPL, teller)  # type: ignore[misc]
    assert teller.asked == asked


@pytest.mark.parametrize("content", ["", "[]", '{"DU1": 3}'])
def test_a_file_that_is_not_ours_costs_a_question(tmp_path: Path, content: str) -> None:
    (tmp_path / "origins.json").write_text(content)
    assert DataOrigins(SharedState(tmp_path / "origins.json")).origin_of("DU1", AAPL, Teller("real")) == "real"


def test_a_directory_that_can_not_be_written_costs_a_question(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    origins, teller = DataOrigins(SharedState(tmp_path / "file" / "origins.json")), Teller()
    assert [origins.origin_of("DU1", AAPL, teller) for _ in range(2)] == ["broker"] * 2
    assert teller.asked == 2


def test_many_threads_lose_nothing_of_what_the_others_were_told(tmp_path: Path) -> None:
    origins, teller = DataOrigins(SharedState(tmp_path / "origins.json")), Teller()
    symbols = [Instrument(f"S{number}") for number in range(25)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda symbol: origins.origin_of("DU1", symbol, teller), symbols))
    assert teller.asked == 25
    assert [origins.origin_of("DU1", symbol, teller) for symbol in symbols] == ["broker"] * 25
    assert teller.asked == 25


def test_a_paper_market_with_other_data_is_asked_anew(make_broker: BrokerFactory, tmp_path: Path) -> None:
    """The same account at the same address, before and after somebody gave the gateway bars of their own."""
    own = tmp_path / "own"
    own.mkdir()
    stamps = pd.date_range("2013-02-04", "2013-02-15", freq="B", tz="UTC")
    bars = pd.DataFrame({"ts": stamps, "symbol": "AAPL", "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0})
    bars.assign(volume=1.0).to_parquet(own / "daily.parquet")
    told, port = [], 0
    for directory in (None, own, None):
        config = GatewayConfig(port=port, pacing_enabled=False, data_dir=directory)
        gateway = PaperGateway(config, ManualClock(MOMENT).now).start_in_thread()
        port = gateway.port
        broker = make_broker(port=port, state_dir=tmp_path)
        told.append(broker.data_origin(AAPL))
        assert told[-1] == broker.instrument_details(AAPL).data_origin
        broker.close()
        gateway.stop_in_thread()
    assert told[0] != told[1]
    assert told[0] == told[2]


def test_a_gateway_that_is_too_old_to_be_told_apart_is_asked_by_account(
    paper_gateway: PaperGateway, make_broker: BrokerFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading_platform.brokers.ibkr.requests._USER_INFO_SINCE", 177)
    broker = make_broker(port=paper_gateway.port, state_dir=tmp_path)
    assert broker.data_origin(AAPL) == broker.instrument_details(AAPL).data_origin
