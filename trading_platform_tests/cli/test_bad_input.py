"""What `trading-platform run` says to input that it can't work with: one sentence that says what to do."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.clock import ManualClock
from trading_platform.definitions import CLIENT_IDS
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform_tests.cli.command import AS_OF, Done, Home, closed_port, listening
from trading_platform_tests.world import LATE

MISSPELT = """
name: momentum
description: A strategy with a typo.
owner: team:research
strategy: cross_sectional_momentum
universe: [AAPL]
bar_size: 1 day
calendar: XNYS
cadence_mintes: 5
"""


def refused(done: Done, *words: str, status: int = 1) -> None:
    """One sentence, with these words in it, and no traceback."""
    assert done.status == status, done.text
    assert "Traceback" not in done.text
    for word in words:
        assert word in done.text


def nothing_was_started(home: Home) -> bool:
    """Whether not even the state's directory was made (the definitions may have kept derived facts in it)."""
    return not home.state.exists() or {path.name for path in home.state.iterdir()} <= {"cache"}


def test_an_unknown_symbol_is_named_before_anything_is_started(fresh_home: Home) -> None:
    refused(fresh_home.call("run", "--symbols", "AAPL,APPL"), "unknown symbol APPL", "AAPL")
    assert nothing_was_started(fresh_home)


def test_a_symbol_that_no_strategy_trades_is_named(fresh_home: Home) -> None:
    refused(fresh_home.call("run", "--symbols", "NVDA"), "no strategy trades NVDA")
    assert nothing_was_started(fresh_home)


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("2013-02-28T15:45:00", "has no time zone"),
        ("yesterday", "is no moment"),
    ],
)
def test_a_moment_that_is_none_is_refused_by_the_command_line(fresh_home: Home, moment: str, words: str) -> None:
    refused(fresh_home.call("run", "--as-of", moment), words, status=2)


@pytest.mark.parametrize(
    ("moment", "words"),
    [("2999-01-04T12:00:00-05:00", "lies in the future"), ("1950-01-04T12:00:00-05:00", "1950-01-04")],
)
def test_a_moment_that_cannot_be_replayed_is_refused(fresh_home: Home, moment: str, words: str) -> None:
    refused(fresh_home.call("run", "--as-of", moment), words)
    assert nothing_was_started(fresh_home)


def test_a_strategy_spec_with_a_typo_says_what_was_meant(fresh_home: Home) -> None:
    specs = fresh_home.directory / "specs"
    specs.mkdir()
    (specs / "momentum.yaml").write_text(MISSPELT)
    done = fresh_home.call("run", STRATEGIES=str(specs))
    refused(done, "momentum.yaml", "cadence_mintes", "cadence_minutes")
    assert nothing_was_started(fresh_home)


def test_a_wrong_setting_is_named(fresh_home: Home) -> None:
    refused(fresh_home.call("run", MODE="lve"), "TRADING_PLATFORM_MODE", "'paper' or 'live'", "'lve'")


def test_a_document_that_cannot_be_written_is_refused_before_the_work(fresh_home: Home) -> None:
    refused(fresh_home.call("run", "--json", "nowhere/out.json"), "--json nowhere/out.json can't be written")
    assert nothing_was_started(fresh_home)


def test_a_port_where_nothing_listens(fresh_home: Home) -> None:
    port = closed_port()
    refused(fresh_home.call("run", IBKR_PORT=str(port)), f"nothing answers at 127.0.0.1:{port}", "IBKR_HOST and _PORT")


def test_something_on_the_port_that_is_no_gateway(fresh_home: Home) -> None:
    with listening() as port:
        done = fresh_home.call("run", IBKR_PORT=str(port))
    refused(done, f"127.0.0.1:{port} is no TWS or IB Gateway")


@pytest.fixture(scope="module")
def gateway() -> Iterator[PaperGateway]:
    """A gateway of somebody else's, which the settings name."""
    config = GatewayConfig(port=0, account="DU7654321")
    started = PaperGateway(config, ManualClock(LATE).now).start_in_thread()
    yield started
    started.stop_in_thread()


def test_the_wrong_account(fresh_home: Home, gateway: PaperGateway) -> None:
    done = fresh_home.call("run", IBKR_PORT=str(gateway.port), IBKR_ACCOUNT="DU9999999")
    refused(done, "account DU9999999 is configured", "logged in to DU7654321", "TRADING_PLATFORM_IBKR_ACCOUNT")


def test_a_live_account_in_paper_mode(fresh_home: Home, gateway: PaperGateway) -> None:
    done = fresh_home.call("run", IBKR_PORT=str(gateway.port), IBKR_ACCOUNT="U1234567")
    refused(done, "mode is paper, but U1234567 is a live account", "nothing was sent")


def test_all_client_ids_in_use(fresh_home: Home, gateway: PaperGateway) -> None:
    with ExitStack() as stack:
        for client_id in range(10, 10 + CLIENT_IDS):
            broker = IBKRBroker(IBKRConfig(port=gateway.port, client_id=client_id))
            stack.callback(broker.close)
            broker.connect()
        done = fresh_home.call("run", IBKR_PORT=str(gateway.port))
    refused(done, "client id", "is in use", "TRADING_PLATFORM_IBKR_CLIENT_ID")


def test_a_data_file_that_is_empty(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "bars.parquet"
    file.touch()
    done = home.call("run", "--as-of", AS_OF, PAPER_DATA=str(tmp_path))
    refused(done, "the paper gateway did not start", str(file), "the file is empty")
    assert home.processes_in_the_end() == []


def test_a_data_file_that_is_damaged(fresh_home: Home, tmp_path: Path) -> None:
    file = tmp_path / "bars.parquet"
    file.write_bytes(b"PAR1 no")
    refused(fresh_home.call("gateway", "--port", "0", PAPER_DATA=str(tmp_path)), str(file), "not a readable Parquet")


def test_postgresql_that_is_down(home: Home) -> None:
    port = closed_port()
    url = f"postgresql+psycopg2://me:secret@127.0.0.1:{port}/dagster"
    done = home.call("run", "--as-of", AS_OF, DAGSTER_DATABASE_URL=url)
    refused(done, f"PostgreSQL at 127.0.0.1:{port}/dagster does not answer", "TRADING_PLATFORM_DAGSTER_DATABASE_URL")
    assert "secret" not in done.text
    assert home.processes_in_the_end() == []


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.state.write_text("in the way")
    refused(home.call("run"), f"{home.state} can't be written", "TRADING_PLATFORM_HOME")


def test_a_home_on_a_full_disk(fresh_home: Home) -> None:
    disk = fresh_home.directory / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        (disk / "fill").write_bytes(b"\0" * 4096)
        done = fresh_home.call("run", HOME=str(disk))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    refused(done, f"{disk} can't be written (No space left on device)", "free some space")
