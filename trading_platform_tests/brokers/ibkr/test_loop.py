"""The broker's loop can be used from everywhere, and ib_insync is imported nowhere else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from trading_platform.brokers.ibkr.loop import shared_loop
from trading_platform_tests.brokers.ibkr.conftest import BrokerFactory
from trading_platform_tests.brokers.ibkr.scripted_gateway import ScriptedGateway


def test_calls_work_from_plain_threads_thread_pools_and_running_loops(make_broker: BrokerFactory) -> None:
    with ScriptedGateway() as gateway:
        broker = make_broker(port=gateway.port)

        async def inside_a_loop() -> int:
            return broker.server_time().year

        assert asyncio.run(inside_a_loop()) == 2023
        assert broker.server_time().year == 2023, "after asyncio.run()"
        with ThreadPoolExecutor(4) as pool:
            assert {moment.year for moment in pool.map(lambda _: broker.server_time(), range(8))} == {2023}
        assert gateway.connections == 1


def test_the_adapter_can_be_imported_after_asyncio_run_and_inside_a_loop() -> None:
    program = """
import asyncio, sys, threading
async def nothing(): pass
asyncio.run(nothing())
async def load():
    from trading_platform.brokers.ibkr.client import IBKRBroker
asyncio.run(load())
import eventkit.util
assert eventkit.util.main_event_loop.is_running()
assert [t.name for t in threading.enumerate() if t.name == "ibkr-loop" and t.daemon]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_child_process_gets_a_loop_of_its_own(make_broker: BrokerFactory) -> None:
    with ScriptedGateway() as gateway:
        broker = make_broker(port=gateway.port)
        broker.server_time()
        child = os.fork()
        if child == 0:
            try:
                broker.server_time()
                os._exit(0)
            except BaseException:  # noqa: BLE001 - the parent only sees the exit status
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        broker.server_time()
        assert gateway.connections == 2, "the child connected for itself, the parent kept its connection"


def test_exceptions_cross_threads_as_they_are() -> None:
    async def fail() -> None:
        msg = "as it is"
        raise LookupError(msg)

    with pytest.raises(LookupError, match="as it is"):
        shared_loop().run(fail())
