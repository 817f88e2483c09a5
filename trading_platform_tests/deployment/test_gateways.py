"""The gateways' containers: the paper gateway's command, the handshake as a health check, IB Gateway's start."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trading_platform.ops.processes import free_port, start, stop
from trading_platform_tests.brokers.ibkr.scripted_gateway import START_API, ScriptedGateway, error
from trading_platform_tests.deployment.compose_file import (
    DEPLOY,
    complete_env,
    compose,
    process_environment,
    replaced,
)
from trading_platform_tests.deployment.waiting import until

SERVICES = compose(complete_env())["services"]


def handshake(port: int, service: str = "paper-gateway") -> subprocess.CompletedProcess[str]:
    """Run the health check of a gateway's container against a local port."""
    script = SERVICES[service]["healthcheck"]["test"][2]
    words = replaced(SERVICES[service]["healthcheck"]["test"][1:], {script: DEPLOY / "handshake.sh", "4004": port})
    env = process_environment({"HANDSHAKE_PATIENCE_SECONDS": 1})
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(scope="module")
def paper_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The paper gateway's command as a process; its port."""
    home = tmp_path_factory.mktemp("paper_gateway")
    port = free_port()
    command = replaced(SERVICES["paper-gateway"]["command"], {"0.0.0.0": "127.0.0.1", "4004": port})
    declared = SERVICES["paper-gateway"]["environment"]
    env = process_environment({**declared, "TRADING_PLATFORM_HOME": home / "state"})
    child = start("gateway", ["env", "-i", *(f"{k}={v}" for k, v in env.items()), *command], log=home / "log")
    try:
        until(lambda: "account DU1000000" in child.log.read_text(), child)
        yield port
    finally:
        stop([child])


@pytest.mark.parametrize("service", ["paper-gateway", "ib-gateway"])
def test_a_gateway_that_names_its_account_is_healthy(paper_gateway: int, service: str) -> None:
    done = handshake(paper_gateway, service)
    assert done.returncode == 0, done.stderr
    assert "serves DU1000000" in done.stdout


def test_a_health_check_leaves_nothing_behind_that_hinders_the_next(paper_gateway: int) -> None:
    assert [handshake(paper_gateway).returncode for _ in range(3)] == [0, 0, 0]


def test_a_gateway_with_other_messages_before_its_accounts_is_healthy() -> None:
    chatter = [error(-1, 2104, "Market data farm connection is OK"), (9, 1, 15), (15, 1, "DU1,DU2")]
    with ScriptedGateway(scripts={START_API: lambda _: chatter}) as gateway:
        done = handshake(gateway.port)
    assert done.returncode == 0, done.stderr
    assert "serves DU1,DU2" in done.stdout
    assert gateway.received[0] == ["71", "2", "9999", ""]


def test_a_gateway_that_is_not_logged_in_is_sick_though_its_port_answers() -> None:
    with ScriptedGateway(scripts={START_API: lambda _: None}) as gateway:
        done = handshake(gateway.port)
    assert done.returncode == 1
    assert "not logged in" in done.stderr


def test_a_port_that_says_nothing_is_sick() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = handshake(listener.getsockname()[1])
    assert done.returncode == 1
    assert "does not speak the TWS API" in done.stderr


def test_a_port_where_nothing_listens_is_sick() -> None:
    done = handshake(free_port())
    assert done.returncode == 1
    assert "does not answer" in done.stderr


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\0", b"\0\0\0\x04no\0\0", b"\0\0\1\0short"]
)
def test_something_that_is_no_gateway_is_sick(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(64)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        done = handshake(listener.getsockname()[1])
    assert done.returncode == 1
    assert done.stderr.startswith("127.0.0.1:")


def start_ib_gateway(directory: Path, user: str, password: str) -> subprocess.CompletedProcess[str]:
    """Run the start command of IB Gateway's container with a stand-in for the image's own script."""
    (directory / "run.sh").write_text("#!/bin/sh\necho started as $TWS_USERID\n")
    (directory / "run.sh").chmod(0o755)
    (directory / "tws_password").write_text(password)
    places = {"SCRIPT_PATH": directory, "TWS_USERID": user, "TWS_PASSWORD_FILE": directory / "tws_password"}
    env = process_environment({**SERVICES["ib-gateway"]["environment"], **places})
    return subprocess.run(SERVICES["ib-gateway"]["command"], env=env, capture_output=True, text=True, check=False)


def test_ib_gateway_starts_with_a_login(tmp_path: Path) -> None:
    done = start_ib_gateway(tmp_path, "trader", "secret")
    assert (done.returncode, done.stdout) == (0, "started as trader\n")


@pytest.mark.parametrize(
    ("user", "password", "missing"), [("", "secret", "TWS_USERID"), ("trader", "", "TWS_PASSWORD")]
)
def test_ib_gateway_without_a_login_says_what_is_missing(
    tmp_path: Path, user: str, password: str, missing: str
) -> None:
    done = start_ib_gateway(tmp_path, user, password)
    assert done.returncode != 0
    assert f"set {missing} in .env" in done.stderr
    assert done.stdout == ""


def test_the_password_reaches_ib_gateway_as_a_file_only() -> None:
    everything = compose({**complete_env(), "TWS_PASSWORD": "open-sesame"})
    assert everything["secrets"] == {"tws_password": {"environment": "TWS_PASSWORD"}}
    assert "open-sesame" not in str(everything)
