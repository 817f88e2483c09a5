"""Sensors: what is missing is asked for once, open orders are watched, failures are written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.clock import SystemClock
from trading_platform.definitions import build_definitions
from trading_platform.defs.sensors import history_request, missing_history, watch_request
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.orders.model import OrderStatus
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.ledger import LedgerResource
from trading_platform.settings import ENV_PREFIX, get_settings
from trading_platform.storage.bar_store import BarStore
from trading_platform.storage.ledger import Ledger
from trading_platform_tests.defs.conftest import MakeWorld
from trading_platform_tests.storage.ledger.builders import (
    ACCOUNT,
    NOW,
    RUN,
    approve,
    make_broker_order,
    make_execution,
    make_intent,
    make_tick,
    record,
    start,
)
from trading_platform_tests.storage.ledger.fixtures import ledger, ledger_url
from trading_platform_tests.world import LATE, World

__all__ = ["ledger", "ledger_url"]

Sensors = Callable[..., dict[str, dg.SensorDefinition]]
DAILY = Feed("daily", "XNYS", "1 day", ("AAPL", "IBM"), 5, ("momentum",))
PAST = ["2013-02-21", "2013-02-22", "2013-02-25", "2013-02-26", "2013-02-27"]


@pytest.fixture
def sensors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sensors]:
    """``sensors(moment, **settings)``: all sensors of a process whose clock starts at ``moment``."""

    def make(moment: datetime = LATE, **settings: Any) -> dict[str, dg.SensorDefinition]:
        offset = SystemClock.starting_at(moment).offset.total_seconds()
        for name, value in {"home": tmp_path, "clock_offset_seconds": offset, **settings}.items():
            monkeypatch.setenv(ENV_PREFIX + name.upper(), str(value))
        get_settings.cache_clear()
        defs = build_definitions(get_settings())
        return {sensor.name: sensor for sensor in defs.sensors or ()}  # type: ignore[misc]  # no other kind in use

    yield make
    get_settings.cache_clear()


def evaluate(sensor: dg.SensorDefinition, **resources: Any) -> tuple[list[dg.RunRequest], str]:
    """The run requests and the reason of a skip."""
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance, resources=resources) as context,
    ):
        data = sensor.evaluate_tick(context)
    return list(data.run_requests or ()), data.skip_message or ""


def test_sensors_are_stopped_unless_the_settings_start_them(sensors):
    assert set(sensors()) == {"missing_history", "open_orders", "rewritten_history", "run_failures"}
    assert {sensor.default_status for sensor in sensors().values()} == {dg.DefaultSensorStatus.STOPPED}
    running = sensors(schedules_running=True).values()
    assert {sensor.default_status for sensor in running} == {dg.DefaultSensorStatus.RUNNING}


class TestMissingHistory:
    @pytest.fixture
    def lake(self, tmp_path: Path) -> LakeResource:
        return LakeResource(url=str(tmp_path / "lake"))

    def store(
        self, lake: LakeResource, days: list[str], *, symbols: Sequence[str] = DAILY.symbols, hour: int = 21
    ) -> None:
        """Raw and validated bars of the days, received at that hour of each."""
        rows = [
            (symbol, day, pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=hour)) for symbol in symbols for day in days
        ]
        bars = pd.DataFrame(rows, columns=["symbol", "session", "received_at_utc"])
        lake.get_lake().write_sessions(("market_data", "daily_raw_bars"), bars, days)
        lake.get_lake().write_sessions(("market_data", "daily_validated_bars"), bars, days)

    def note(self, lake: LakeResource, kind: str, attempts: int, asked_at: str, days: list[str] | None = None) -> None:
        """IBM was asked for in vain."""
        days = days or PAST
        rows = pd.DataFrame(
            {"symbol": "IBM", "session": days, "kind": kind, "reason": "not now", "attempts": attempts}
        ).assign(asked_at_utc=pd.Timestamp(asked_at).as_unit("ns"))
        BarStore(lake.get_lake(), "daily").write_unanswered(rows, days)

    def missing(self, lake: LakeResource, now: datetime = LATE) -> list[tuple[str, str]]:
        return [(run[0].isoformat(), run[-1].isoformat()) for run in missing_history(DAILY, lake, now)]

    def test_an_empty_lake_lacks_all_past_sessions_in_one_range(self, lake: LakeResource) -> None:
        assert self.missing(lake) == [("2013-02-21", "2013-02-27")]

    def test_gaps_are_ranges_of_consecutive_sessions(self, lake: LakeResource) -> None:
        self.store(lake, ["2013-02-22", "2013-02-26"])
        assert self.missing(lake) == [
            ("2013-02-21", "2013-02-21"),
            ("2013-02-25", "2013-02-25"),
            ("2013-02-27", "2013-02-27"),
        ]

    def test_a_full_lake_lacks_nothing(self, lake: LakeResource) -> None:
        self.store(lake, ["2013-02-21", "2013-02-22", "2013-02-25", "2013-02-26", "2013-02-27"])
        assert self.missing(lake) == []

    def test_a_session_collected_before_its_close_is_asked_for_again(self, lake: LakeResource) -> None:
        self.store(lake, ["2013-02-21", "2013-02-22", "2013-02-25", "2013-02-26"])
        self.store(lake, ["2013-02-27"], hour=20)
        assert self.missing(lake) == [("2013-02-27", "2013-02-27")]

    def test_a_session_that_was_never_validated_is_asked_for_again(self, lake: LakeResource) -> None:
        self.store(lake, ["2013-02-21", "2013-02-22", "2013-02-25", "2013-02-26", "2013-02-27"])
        (Path(lake.get_lake().path_of(("market_data", "daily_validated_bars"), "2013-02-26"))).unlink()
        assert self.missing(lake) == [("2013-02-26", "2013-02-26")]

    def test_a_symbol_without_its_bars_is_missed_though_others_have_theirs(self, lake: LakeResource) -> None:
        self.store(lake, PAST, symbols=["AAPL"])
        assert self.missing(lake) == [(PAST[0], PAST[-1])]

    @pytest.mark.parametrize(("attempts", "waits_minutes"), [(1, 10), (2, 20), (3, 40)])
    def test_a_symbol_that_fails_is_tried_again_ever_more_rarely(
        self, lake: LakeResource, attempts: int, waits_minutes: int
    ) -> None:
        self.store(lake, PAST, symbols=["AAPL"])
        self.note(lake, "failed", attempts, LATE.isoformat())
        assert self.missing(lake, LATE + timedelta(minutes=waits_minutes - 1)) == []
        assert len(self.missing(lake, LATE + timedelta(minutes=waits_minutes))) == 1

    def test_symbols_that_were_not_listed_yet_are_not_asked_for_for_ever(self, lake: LakeResource) -> None:
        self.store(lake, PAST, symbols=["AAPL"])
        self.note(lake, "no_bars", 5, "2013-02-26T22:00Z")
        assert len(self.missing(lake)) == 1
        self.note(lake, "no_bars", 6, "2013-02-26T22:00Z")
        assert self.missing(lake) == []

    def test_bars_that_came_after_they_were_validated_last_are_validated(self, lake: LakeResource) -> None:
        self.store(lake, PAST)
        newer = pd.DataFrame(
            {"symbol": ["AAPL", "IBM"], "session": PAST[2], "received_at_utc": pd.Timestamp("2013-02-27T22:00Z")}
        )
        lake.get_lake().write_sessions(("market_data", "daily_raw_bars"), newer, [PAST[2]])
        assert self.missing(lake) == [(PAST[2], PAST[2])]
        lake.get_lake().write_sessions(("market_data", "daily_quarantined_bars"), newer, [PAST[2]])
        assert self.missing(lake) == []

    def test_of_a_feed_that_no_strategy_reads_what_was_begun_is_finished(self, lake: LakeResource) -> None:
        feed = replace(DAILY, strategies=())
        assert missing_history(feed, lake, LATE) == ()
        self.store(lake, [PAST[-1]], hour=20)
        ((day,),) = missing_history(feed, lake, LATE)
        assert day.isoformat() == PAST[-1]

    def test_the_current_session_is_the_agents_business(self, lake: LakeResource) -> None:
        assert self.missing(lake, LATE + timedelta(hours=12)) == [("2013-02-21", "2013-02-27")]
        assert self.missing(lake, datetime(2013, 3, 1, 14, 30, tzinfo=timezone.utc))[-1][1] == "2013-02-28"

    def test_one_ranged_run_fetches_and_validates_and_places_nothing(self, lake: LakeResource) -> None:
        (sessions,) = missing_history(DAILY, lake, LATE)
        request = history_request(DAILY, sessions, "first")
        assert request.job_name == "daily_bars"
        assert {key.path[1] for key in request.asset_selection or ()} == {"daily_raw_bars", "daily_validated_bars"}
        assert request.tags == {
            "dagster/asset_partition_range_start": "2013-02-21",
            "dagster/asset_partition_range_end": "2013-02-27",
        }
        assert request.partition_key is None

    def test_the_sensor_asks_for_every_feed_that_lacks_something(self, sensors: Sensors, lake: LakeResource) -> None:
        requests, _ = evaluate(sensors()["missing_history"], lake=lake)
        assert sorted(str(request.job_name) for request in requests) == [
            "btc_bars",
            "daily_bars",
            "iwm_bars",
            "tsla_bars",
        ]
        assert len({request.run_key for request in requests}) == 4

    def test_asking_twice_asks_for_the_same_runs(self, sensors: Sensors, lake: LakeResource) -> None:
        sensor = sensors()["missing_history"]
        first, again = evaluate(sensor, lake=lake)[0], evaluate(sensor, lake=lake)[0]
        assert [request.run_key for request in first] == [request.run_key for request in again]

    def test_a_run_that_failed_is_asked_for_again_after_a_while(self, sensors: Sensors, lake: LakeResource) -> None:
        first, _ = evaluate(sensors()["missing_history"], lake=lake)
        later, _ = evaluate(sensors(LATE + timedelta(minutes=10))["missing_history"], lake=lake)
        assert not {request.run_key for request in first} & {request.run_key for request in later}

    def test_worlds_do_not_take_each_others_runs_for_their_own(self, sensors: Sensors, lake: LakeResource) -> None:
        here, _ = evaluate(sensors()["missing_history"], lake=lake)
        there, _ = evaluate(sensors(as_of_session="2013-02-28")["missing_history"], lake=lake)
        assert not {request.run_key for request in here} & {request.run_key for request in there}

    def test_it_is_quiet_once_the_history_is_there(self, sensors: Sensors, world: World) -> None:
        requests, reason = evaluate(sensors(world.clock.now())["missing_history"], lake=world.lake_resource)
        assert requests == []
        assert reason == "the lake holds all the history that the strategies need"


class TestOpenOrders:
    def watch(self, sensors: Sensors, ledger_url: str, **settings: Any) -> tuple[list[dg.RunRequest], str]:
        sensor = sensors(**{"moment": NOW, "ibkr_account": ACCOUNT, **settings})["open_orders"]
        return evaluate(sensor, ledger=LedgerResource(database_url=ledger_url))

    def test_without_orders_there_is_nothing_to_watch(self, sensors: Sensors, ledger_url: str) -> None:
        assert self.watch(sensors, ledger_url) == ([], "no order is working")

    def test_a_working_order_is_looked_after(self, sensors: Sensors, ledger: Ledger, ledger_url: str) -> None:
        record(ledger)
        start(ledger, make_intent())
        ledger.record_broker_order(ACCOUNT, make_broker_order(make_intent()), at=NOW, run_id=RUN)
        ((request,), _) = self.watch(sensors, ledger_url)
        assert request.tags["trading_platform/working_orders"] == "1"

    def test_an_order_whose_fate_is_not_known_is_looked_after(
        self, sensors: Sensors, ledger: Ledger, ledger_url: str
    ) -> None:
        record(ledger)
        start(ledger, make_intent())
        assert len(self.watch(sensors, ledger_url)[0]) == 1

    def test_a_filled_order_is_left_alone(self, sensors: Sensors, ledger: Ledger, ledger_url: str) -> None:
        record(ledger)
        start(ledger, make_intent())
        ledger.record_executions([make_execution(1, make_intent())], at=NOW, run_id=RUN)
        assert self.watch(sensors, ledger_url) == ([], "no order is working")

    def test_a_fill_that_has_not_arrived_is_waited_for(self, sensors: Sensors, ledger: Ledger, ledger_url: str) -> None:
        """Its status said filled, its execution has not come."""
        record(ledger)
        start(ledger, make_intent())
        filled = make_broker_order(make_intent(), OrderStatus.FILLED, filled="10")
        ledger.record_broker_order(ACCOUNT, filled, at=NOW, run_id=RUN)
        assert len(self.watch(sensors, ledger_url)[0]) == 1
        ledger.record_executions([make_execution(1, make_intent())], at=NOW, run_id=RUN)
        assert self.watch(sensors, ledger_url) == ([], "no order is working")

    @pytest.mark.parametrize(
        ("status", "is_watched_for_ever"),
        [
            (OrderStatus.SUBMITTED, True),
            (OrderStatus.PARTIALLY_FILLED, True),
            (OrderStatus.FILLED, False),
            (OrderStatus.UNKNOWN, False),
        ],
    )
    def test_what_no_list_will_tell_any_more_is_not_asked_for_for_ever(
        self, sensors: Sensors, ledger: Ledger, ledger_url: str, status: OrderStatus, is_watched_for_ever: bool
    ) -> None:
        record(ledger)
        start(ledger, make_intent())
        if status is OrderStatus.UNKNOWN:
            name = make_intent().client_order_id
            ledger.move(ACCOUNT, name, status, at=NOW, run_id=RUN, message="no answer")
        else:
            filled = {OrderStatus.FILLED: "10", OrderStatus.PARTIALLY_FILLED: "4"}.get(status, "0")
            word = make_broker_order(make_intent(), status, filled=filled)
            ledger.record_broker_order(ACCOUNT, word, at=NOW, run_id=RUN)
        assert len(self.watch(sensors, ledger_url, moment=NOW + timedelta(hours=20))[0]) == 1
        later, _ = self.watch(sensors, ledger_url, moment=NOW + timedelta(days=3))
        assert len(later) == is_watched_for_ever

    def test_an_order_that_rests_quietly_is_asked_for_less_often(
        self, sensors: Sensors, ledger: Ledger, ledger_url: str
    ) -> None:
        record(ledger)
        start(ledger, make_intent())
        ledger.record_broker_order(ACCOUNT, make_broker_order(make_intent()), at=NOW, run_id=RUN)
        orders = ledger.orders(ACCOUNT)
        hour = (NOW + timedelta(hours=2)).replace(minute=0, second=1)

        def runs(start_at: datetime) -> int:
            moments = [start_at + timedelta(seconds=30 * i) for i in range(20)]
            return len({watch_request(ACCOUNT, orders, moment).run_key for moment in moments})

        assert runs(NOW) == 20
        assert runs(hour) == 2

    def test_another_accounts_orders_are_not_watched(self, sensors: Sensors, ledger: Ledger, ledger_url: str) -> None:
        record(ledger)
        start(ledger, make_intent())
        assert self.watch(sensors, ledger_url, ibkr_account="DU7") == ([], "no order is working")

    def test_without_an_account_it_says_what_to_set(self, sensors: Sensors, ledger_url: str) -> None:
        _, reason = self.watch(sensors, ledger_url, ibkr_account="")
        assert "TRADING_PLATFORM_IBKR_ACCOUNT is not set" in reason

    def test_the_run_it_starts_brings_the_fills_home(self, own_world: MakeWorld) -> None:
        """An order that filled while nobody looked."""
        world = own_world()
        account = world.settings.ibkr_account or ""
        tick = replace(make_tick(LATE, account=account), session="2013-02-28")
        intent = replace(make_intent("IBM", tick=tick), session="2013-02-28")
        world.ledger.record_tick(tick, [(intent, approve(intent))])
        start(world.ledger, intent)
        with IBKRBroker(IBKRConfig(port=world.gateway.port, client_id=55)) as broker:
            broker.place_order(Instrument("IBM"), intent.request)
        world.gateway.step_now()
        assert world.run("account", None).success
        assert world.ledger.strategy_position(account, "momentum") == {"IBM": Decimal(10)}


class TestRunFailures:
    def test_a_failed_run_leaves_a_line_with_its_error(self, sensors: Sensors, tmp_path: Path) -> None:
        @dg.op
        def broken() -> None:
            msg = "the disk is full"
            raise OSError(msg)

        @dg.op
        def refused() -> None:
            raise dg.Failure(description="Signals: 1 value(s) break the contract", allow_retries=False)

        @dg.job
        def chain() -> None:
            broken()
            refused()

        sensor = sensors()["run_failures"]
        with dg.DagsterInstance.ephemeral() as instance:
            result = chain.execute_in_process(
                instance=instance, raise_on_error=False, tags={"dagster/partition": "2013-02-28"}
            )
            context = dg.build_run_status_sensor_context(
                sensor_name=sensor.name,
                dagster_instance=instance,
                dagster_run=result.dagster_run,
                dagster_event=result.get_run_failure_event(),
            ).for_run_failure()
            sensor(context)
        (line,) = (tmp_path / "logs" / "run_failures.jsonl").read_text().splitlines()
        said = json.loads(line)
        assert (said["job"], said["run_id"], said["partition"]) == ("chain", result.run_id, "2013-02-28")
        assert said["seen_at_utc"].startswith("2013-02-28T20:45")
        assert said["failed_steps"]["broken"] == "OSError: the disk is full"
        assert said["failed_steps"]["refused"] == "Signals: 1 value(s) break the contract"
