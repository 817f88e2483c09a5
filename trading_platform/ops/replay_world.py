"""A world for one replay: a gateway in this process at the replay's clock, a client, and a ledger of its own.

Nothing in it comes from the settings of the platform's broker: where a broker of one's own is configured, it is neither
asked nor told anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from pydantic import SecretStr

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.clock import ManualClock
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.replay.engine import ReplayWorld
from trading_platform.settings import Settings
from trading_platform.specs.loader import load_data_quality, load_risk_limits, load_universe
from trading_platform.storage.ledger import Ledger

CLIENT_ID = 10


@dataclass(frozen=True)
class Stage:
    """Where a replay plays: from when on, over which data, and in which (migrated, empty) ledger."""

    settings: Settings
    start: datetime
    ledger_url: str
    data_dir: Path | None
    cash: Decimal = Decimal(1_000_000)

    @property
    def account(self) -> str:
        """The replay's account: named by the day on which it begins, like no account at a broker."""
        return f"DUR{self.start:%Y%m%d}"


@contextmanager
def replay_world(stage: Stage) -> Iterator[ReplayWorld]:
    """A fresh account at a gateway of its own, for the length of the block.

    Raises:
        DatasetError: the market data can't be used.
        LedgerError: the ledger can't be used.
    """
    clock = ManualClock(stage.start)
    gateway = PaperGateway(
        GatewayConfig(
            port=0,
            account=stage.account,
            cash=stage.cash,
            seed=stage.settings.paper_seed,
            data_dir=stage.data_dir,
            state_path=None,
            pacing_enabled=False,
        ),
        clock.now,
    ).start_in_thread()
    universe = load_universe(stage.settings.strategies).since(stage.start.date())
    ledger = Ledger(stage.ledger_url)
    broker = IBKRBroker(
        IBKRConfig(
            host=gateway.config.host,
            port=gateway.port,
            client_id=CLIENT_ID,
            account=stage.account,
            mode="paper",
            max_messages_per_second=0,
            names=universe.names,
        )
    )

    def advance(moment: datetime) -> None:
        clock.set(moment)
        gateway.step_now()

    try:
        yield ReplayWorld(
            settings=_settings(stage, gateway.port),
            clock=clock,
            advance=advance,
            broker=broker,
            ledger=ledger,
            instruments=universe.instruments,
            account_limits=load_risk_limits(stage.settings.strategies).account,
            quality=load_data_quality(stage.settings.strategies),
        )
    finally:
        broker.close()
        ledger.close()
        gateway.stop_in_thread()


def _settings(stage: Stage, port: int) -> Settings:
    """The platform's settings with everything that concerns a broker, an account or a ledger replaced."""
    return stage.settings.model_copy(
        update={
            "mode": "paper",
            "live_confirmation": None,
            "read_only": False,
            "ibkr_host": "127.0.0.1",
            "ibkr_port": port,
            "ibkr_account": stage.account,
            "ledger_database_url": SecretStr(stage.ledger_url),
            "as_of_session": stage.start.date().isoformat(),
        }
    )
