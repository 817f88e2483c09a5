"""The Dagster resource: lazy, typed, closed at the end of the run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone

import dagster as dg
import pytest
from pydantic import ValidationError

from trading_platform.brokers.base import AccountMismatchError, BrokerConnectionError
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.resources.ibkr import IBKRResource

MOMENT = datetime(2013, 2, 27, 15, 0, 30, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def gateway() -> Iterator[PaperGateway]:
    server = PaperGateway(GatewayConfig(port=0), lambda: MOMENT).start_in_thread()
    yield server
    server.stop_in_thread()


def _clients(gateway: PaperGateway) -> int:
    return gateway.call(lambda: len(gateway.hub.sessions))


@dg.asset
def server_clock(ibkr: IBKRResource) -> str:
    return ibkr.broker.server_time().isoformat()


@dg.asset
def broker_free(ibkr: IBKRResource) -> str:
    return ibkr.host


def test_an_asset_talks_to_the_gateway_and_the_run_closes_the_connection(gateway: PaperGateway) -> None:
    result = dg.materialize([server_clock], resources={"ibkr": IBKRResource(port=gateway.port)})
    assert result.success
    assert result.output_for_node("server_clock") == MOMENT.isoformat()
    _eventually_nobody(gateway)


def test_a_run_that_does_not_use_the_broker_opens_no_socket() -> None:
    assert dg.materialize([broker_free], resources={"ibkr": IBKRResource(port=1)}).success


def test_a_failing_asset_closes_the_connection_too(gateway: PaperGateway) -> None:
    @dg.asset
    def fails(ibkr: IBKRResource) -> None:
        ibkr.broker.positions()
        msg = "after the broker was used"
        raise RuntimeError(msg)

    result = dg.materialize([fails], resources={"ibkr": IBKRResource(port=gateway.port)}, raise_on_error=False)
    assert not result.success
    _eventually_nobody(gateway)


def test_connect_hands_out_a_broker_and_closes_it(gateway: PaperGateway) -> None:
    resource = IBKRResource(port=gateway.port)
    with resource.connect() as broker:
        assert broker.account == "DU1000000"
        assert _clients(gateway) == 1
    _eventually_nobody(gateway)


def test_connect_names_a_port_where_nothing_listens_at_once() -> None:
    with pytest.raises(BrokerConnectionError, match="nothing answers"), IBKRResource(port=1).connect():
        pass


def test_paper_is_the_default_and_a_live_account_is_refused() -> None:
    resource = IBKRResource(port=1, account="U1234567")
    assert resource.mode == "paper"
    with pytest.raises(AccountMismatchError, match="U1234567 is a live account"):
        resource.broker  # noqa: B018 - building it is what refuses


def test_an_unknown_mode_is_a_configuration_error() -> None:
    with pytest.raises(ValidationError, match="use paper or live"):
        IBKRResource(port=1, mode="papre")


def test_settings_can_come_from_the_environment(gateway: PaperGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PORT", str(gateway.port))
    resource = IBKRResource(port=dg.EnvVar.int("SOME_PORT"))
    assert dg.materialize([server_clock], resources={"ibkr": resource}).success


def test_importing_the_resource_imports_no_heavy_library() -> None:
    program = (
        "import sys; import trading_platform.resources.ibkr; "
        "print([name for name in ('ib_insync', 'eventkit', 'pandas', 'numpy') if name in sys.modules])"
    )
    before = "import sys, dagster; print([n for n in ('ib_insync', 'eventkit', 'pandas', 'numpy') if n in sys.modules])"
    heavy = {
        source: subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True).stdout
        for source in (program, before)
    }
    assert heavy[program] == heavy[before] == "[]\n"


def _eventually_nobody(gateway: PaperGateway) -> None:
    import time

    deadline = time.monotonic() + 3
    while _clients(gateway):
        assert time.monotonic() < deadline, "the connection outlived the run"
        time.sleep(0.01)
