"""The doctor's report, and its checks on parts that are sick."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from trading_platform.brokers.base import BrokerTimeoutError
from trading_platform.brokers.ibkr.breaker import BreakerPolicy, CircuitBreaker
from trading_platform.brokers.ibkr.shared_state import SharedState, gateway_directory
from trading_platform.clock import SystemClock
from trading_platform.ops import doctor_checks as checks
from trading_platform.ops.databases import DatabaseDownError
from trading_platform.ops.doctor import Findings, NotCheckedError
from trading_platform.ops.local import LocalPlatformError, environment_restored, export
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.settings import get_settings


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path) -> object:
    with environment_restored():
        export({"home": tmp_path / "home"})
        yield


def test_every_outcome_gets_its_mark_and_is_counted() -> None:
    def sick() -> str:
        msg = "the disk is full: free some space"
        raise LocalPlatformError(msg)

    def unknown() -> str:
        msg = "not checked: it needs the disk"
        raise NotCheckedError(msg)

    def bug() -> str:
        return str(1 / 0)

    console = Console(width=80, force_terminal=False)
    findings = Findings(console)
    with console.capture() as captured:
        results = [findings.examine(check.__name__, check) for check in (lambda: "all [is] well", sick, unknown, bug)]
    assert results == [True, False, False, False]
    assert (findings.healthy, findings.failed, findings.not_checked) == (1, 2, 1)
    text = captured.get()
    assert "all [is] well" in text
    assert "✗ sick            the disk is full: free some space" in text
    assert "– unknown         not checked: it needs the disk" in text
    assert "ZeroDivisionError: division by zero" in text


def test_the_lake_probe_leaves_nothing(tmp_path: Path) -> None:
    assert "written, read and removed" in checks.check_lake()
    assert not (get_settings().world / "lake" / "doctor").exists()


def test_the_lake_probe_works_on_an_object_store(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    export({"lake_url": s3_url, "s3_endpoint_url": s3_endpoint})
    assert s3_url in checks.check_lake()
    store = s3fs.S3FileSystem(client_kwargs={"endpoint_url": s3_endpoint}, skip_instance_cache=True)
    assert store.find(s3_url) == []


def test_a_configured_ledger_without_schema_is_not_migrated_behind_ones_back(database_url: str) -> None:
    export({"ledger_database_url": database_url})
    with pytest.raises(checks.DoctorError, match="`trading-platform run` brings it up to date"):
        checks.check_ledger(set())
    assert "schema 0" in checks.check_ledger({"ledger_database_url"})
    assert "schema 0" in checks.check_ledger(set())


def test_mlflow_that_does_not_answer_says_what_to_do() -> None:
    export({"mlflow_tracking_uri": "http://127.0.0.1:9"})
    with pytest.raises(checks.DoctorError, match="TRADING_PLATFORM_MLFLOW_TRACKING_URI"):
        checks.check_mlflow(set())


def test_a_dagster_database_that_is_down_is_named() -> None:
    export({"dagster_database_url": "postgresql+psycopg2://me@127.0.0.1:9/dagster"})
    with pytest.raises(DatabaseDownError, match="TRADING_PLATFORM_DAGSTER_DATABASE_URL"):
        checks.check_dagster(set())


def test_little_room_is_an_illness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ROOMY_BYTES", 1 << 60)
    with pytest.raises(checks.DoctorError, match="make room"):
        checks.check_home()


def test_history_that_is_left_alone_after_failures_is_named_by_the_line_of_the_broker(tmp_path: Path) -> None:
    gateway = PaperGateway(GatewayConfig(port=0), SystemClock().now).start_in_thread()
    try:
        export({"ibkr_port": gateway.port})
        assert "paper account DU1000000" in checks.check_broker()
        directory = gateway_directory(tmp_path / "home" / "ibkr", "127.0.0.1", gateway.port)
        state = SharedState(directory / "history_circuit.json")
        circuit = CircuitBreaker(state, "historical data", BreakerPolicy(), longest_seconds=80)
        for symbol in ("AAPL", "FB", "GOOG", "IBM", "MSFT"):
            circuit.failed(BrokerTimeoutError(f"bars of {symbol}: no answer"), symbol)
        with pytest.raises(checks.DoctorError, match=r"historical data of the gateway.*bars of MSFT: no answer"):
            checks.check_broker()
    finally:
        gateway.stop_in_thread()
