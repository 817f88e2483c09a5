"""Fixtures of these tests: a migrated ledger, a broker with books on disk, and a submission with sensible defaults."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from trading_platform.clock import ManualClock
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderIntent, RiskDecision
from trading_platform.execution.report import SubmissionReport
from trading_platform.execution.submit import submit_tick
from trading_platform.storage.ledger import Ledger
from trading_platform_tests.execution.recording_broker import RecordingBroker
from trading_platform_tests.storage.ledger.builders import ACCOUNT, NOW, STRATEGY, TICK, approve
from trading_platform_tests.storage.ledger.fixtures import ledger, ledger_url, migrated_url

__all__ = ["ledger", "ledger_url", "migrated_url"]

SYMBOLS = ("AAPL", "IBM", "MSFT")
Submit = Callable[..., SubmissionReport]


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """The broker's books."""
    return tmp_path / "books.jsonl"


@pytest.fixture
def broker(books: Path) -> RecordingBroker:
    """A healthy broker."""
    return RecordingBroker(books)


def submit(
    ledger: Ledger,
    broker: RecordingBroker,
    *,
    strategy: str = STRATEGY,
    tick_utc: datetime = TICK,
    guard: Callable[[OrderIntent], RiskDecision] = approve,
    now: datetime = NOW,
    run_id: str = "run-2",
    lease_wait_seconds: float = 20,
    settle_seconds: float = 0.05,
    in_flight_seconds: float = 0,
) -> SubmissionReport:
    """Submit the usual tick."""
    return submit_tick(
        ledger,
        broker,
        {symbol: Instrument(symbol) for symbol in SYMBOLS},
        account=ACCOUNT,
        strategy=strategy,
        tick_utc=tick_utc,
        guard=guard,
        clock=ManualClock(now),
        run_id=run_id,
        lease_wait_seconds=lease_wait_seconds,
        settle_seconds=settle_seconds,
        in_flight_seconds=in_flight_seconds,
    )
