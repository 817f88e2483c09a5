"""What a replay must never touch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timezone

import pytest

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.clock import ManualClock
from trading_platform.ops.replay_world import Stage, replay_world
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.replay.engine import NotAReplayAccountError, Replay, ReplayWorld
from trading_platform_tests.replay.kit import SETTINGS, shipped

START = datetime(2012, 1, 3, 14, 30, tzinfo=timezone.utc)
DAY = date(2012, 1, 3)


@pytest.fixture
def world(ledger_url: str) -> Iterator[ReplayWorld]:
    with replay_world(Stage(SETTINGS, START, ledger_url, None)) as world:
        yield world


@pytest.mark.parametrize("account", ["DU1000000", "U1234567", "DUR1"])
def test_a_replay_refuses_every_account_but_a_replays(world: ReplayWorld, account: str) -> None:
    gateway = PaperGateway(GatewayConfig(port=0, account=account), ManualClock(START).now).start_in_thread()
    mode = "paper" if account.startswith("D") else "live"
    config = IBKRConfig(
        port=gateway.port, account=account, mode=mode, live_confirmation=f"I trade real money in {account}"
    )
    try:
        with IBKRBroker(config) as broker, pytest.raises(NotAReplayAccountError, match="never in"):
            Replay(shipped("momentum"), DAY, DAY, replace(world, broker=broker))
    finally:
        gateway.stop_in_thread()


def test_a_replay_refuses_settings_that_name_another_account_or_live(world: ReplayWorld) -> None:
    for changes in ({"mode": "live"}, {"ibkr_account": "DU1000000"}):
        settings = world.settings.model_copy(update=changes)
        with pytest.raises(NotAReplayAccountError):
            Replay(shipped("momentum"), DAY, DAY, replace(world, settings=settings))


def test_the_world_takes_nothing_of_the_configured_broker(ledger_url: str) -> None:
    configured = SETTINGS.model_copy(
        update={
            "mode": "live",
            "ibkr_host": "broker.example",
            "ibkr_port": 4001,
            "ibkr_account": "U1234567",
            "live_confirmation": "I trade real money in U1234567",
        }
    )
    with replay_world(Stage(configured, START, ledger_url, None)) as world:
        assert world.broker.account == world.settings.ibkr_account == "DUR20120103"
        assert world.settings.mode == "paper"
        assert world.settings.live_confirmation is None
        assert (world.settings.ibkr_host, world.settings.ibkr_port) != ("broker.example", 4001)


def test_the_gateway_stands_still_until_the_replay_moves_it(world: ReplayWorld) -> None:
    assert world.broker.server_time() == START
    later = datetime(2012, 1, 3, 20, 45, tzinfo=timezone.utc)
    world.advance(later)
    assert world.broker.server_time() == world.clock.now() == later
