"""A gateway that enforces IBKR's rules, asked at full speed by many threads of two processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trading_platform.clock import ManualClock
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.pacing import HistoryRules
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform_tests.brokers.ibkr.conftest import MOMENT

ASK = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

from trading_platform.brokers.base import BrokerError
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.brokers.ibkr.pacing import PacingRules
from trading_platform.domain.instruments import Instrument

port, client_id, directory, rules = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4])
threads, smallest = int(sys.argv[5]), sys.argv[6]
config = IBKRConfig(
    port=port, client_id=client_id, read_attempts=1, state_dir=directory, pacing=PacingRules(**rules)
)
END = datetime(2013, 2, 27, 15, tzinfo=timezone.utc)


def ask(number: int) -> str:
    bar_size = "1 min" if number % 3 == 0 else smallest
    symbol = ("AAPL", "AAPL", "MSFT")[number % 3]
    end = END - timedelta(minutes=number % 5)
    try:
        broker.historical_bars(Instrument(symbol), end=end, duration="3600 S", bar_size=bar_size)
    except BrokerError as error:
        return type(error).__name__
    return "bars"


with IBKRBroker(config) as broker, ThreadPoolExecutor(threads) as pool:
    broker.connect()
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(list(pool.map(ask, range(30)))))
"""
SHORT = HistoryRules(
    open_requests=4,
    identical_within_seconds=0.5,
    burst_seconds=0.2,
    window_seconds=1.5,
    window_requests=12,
    answer_seconds=0.02,
)
"""IBKR's rules with windows that a test can wait for."""
KEPT = {
    "open_requests": 4,
    "identical_seconds": 0.5,
    "burst_seconds": 0.2,
    "burst_requests": 5,
    "window_seconds": 1.5,
    "window_requests": 12,
}
IGNORED = {"open_requests": 999, "burst_requests": 999, "window_requests": 999, "identical_seconds": 0.0}


@contextmanager
def gateway_with(rules: HistoryRules) -> Iterator[PaperGateway]:
    config = GatewayConfig(port=0, pacing_enabled=True, history_rules=rules, step_seconds=0.01)
    gateway = PaperGateway(config, ManualClock(MOMENT).now).start_in_thread()
    yield gateway
    gateway.stop_in_thread()


@pytest.fixture
def strict_gateway() -> Iterator[PaperGateway]:
    with gateway_with(SHORT) as gateway:
        yield gateway


@pytest.fixture
def slow_gateway() -> Iterator[PaperGateway]:
    """With IBKR's own numbers, and answers that take two seconds."""
    with gateway_with(HistoryRules(answer_seconds=2.0)) as gateway:
        yield gateway


def ask_with_two_processes(
    gateway: PaperGateway, directories: list[Path], rules: dict[str, float], threads: int = 8, smallest: str = "30 secs"
) -> Counter[str]:
    children = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", ASK, str(gateway.port), str(client_id), str(directory), json.dumps(rules)),
                *(str(threads), smallest),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for client_id, directory in enumerate(directories, start=61)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:  # both begin at once
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = Counter[str]()
    for child in children:
        answers.update(json.loads(child.communicate(timeout=120)[0]))
        assert child.returncode == 0
    return answers


def test_the_gateway_never_answers_with_a_pacing_error(strict_gateway: PaperGateway, tmp_path: Path) -> None:
    answers = ask_with_two_processes(strict_gateway, [tmp_path, tmp_path], KEPT)
    # the paper market has no bars below a minute, and says so after it has looked at the pacing
    assert answers == {"bars": 20, "NoDataError": 40}


def test_without_the_rules_it_does(strict_gateway: PaperGateway, tmp_path: Path) -> None:
    assert ask_with_two_processes(strict_gateway, [tmp_path, tmp_path], IGNORED)["PacingError"] > 0


def test_nor_is_it_enough_that_each_process_keeps_them_by_itself(strict_gateway: PaperGateway, tmp_path: Path) -> None:
    answers = ask_with_two_processes(strict_gateway, [tmp_path / "one", tmp_path / "other"], KEPT)
    assert answers["PacingError"] > 0


@pytest.mark.parametrize(("rules", "are_refused"), [({}, False), ({"open_requests": 999}, True)])
def test_sixty_requests_at_once_are_fifty_at_a_time(
    slow_gateway: PaperGateway, tmp_path: Path, rules: dict[str, float], are_refused: bool
) -> None:
    answers = ask_with_two_processes(slow_gateway, [tmp_path, tmp_path], rules, threads=30, smallest="5 mins")
    assert ("PacingError" in answers) is are_refused
    assert answers.total() == 60
