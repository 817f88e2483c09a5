"""What processes share about a gateway: nothing is lost, nothing outlives its holder, everybody gets a turn."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trading_platform.brokers.ibkr.shared_state import SharedState, Slots, Turns, gateway_directory

COUNT_UP = """
import sys
from pathlib import Path
from trading_platform.brokers.ibkr.shared_state import SharedState

state = SharedState(Path(sys.argv[1]))
for _ in range(100):
    with state.changing() as values:
        values["count"] = values.get("count", 0) + 1
"""
HOLD_A_SLOT = """
import sys, time
from pathlib import Path
from trading_platform.brokers.ibkr.shared_state import Slots

assert Slots(Path(sys.argv[1]), 1).take()
print("held", flush=True)
time.sleep(60)
"""


def test_no_change_of_any_process_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.json"
    children = [subprocess.Popen([sys.executable, "-c", COUNT_UP, str(path)]) for _ in range(2)]
    state = SharedState(path)

    def count_up() -> None:
        for _ in range(100):
            with state.changing() as values:
                values["count"] = values.get("count", 0) + 1

    threads = [threading.Thread(target=count_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [child.wait(60) for child in children] == [0, 0]
    assert state.read() == {"count": 400}


def test_a_change_that_fails_half_way_is_none(tmp_path: Path) -> None:
    state = SharedState(tmp_path / "state.json")
    with state.changing() as values:
        values["kept"] = 1

    def fail() -> None:
        with state.changing() as values:
            values["kept"] = 2
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert state.read() == {"kept": 1}


def test_a_file_that_a_crash_of_the_machine_left_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"half a')
    state = SharedState(tmp_path / "state.json")
    assert state.read() == {}
    with state.changing() as values:
        values["whole"] = True
    assert state.read() == {"whole": True}


def test_a_slot_has_one_holder_and_is_free_again_when_it_is_given_back(tmp_path: Path) -> None:
    slots, others = Slots(tmp_path, 2), Slots(tmp_path, 2)
    first, second = slots.take(), others.take()
    assert first is not None
    assert second is not None
    assert slots.take() is None is others.take()
    first()
    assert others.take() is not None


def test_the_slot_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD_A_SLOT, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        slots = Slots(tmp_path, 1)
        assert slots.take() is None
        child.kill()
    assert slots.take() is not None


def test_threads_get_their_turns_in_the_order_in_which_they_asked() -> None:
    turns, order = Turns(), []

    def take(name: int) -> None:
        with turns.mine():
            order.append(name)

    threads = [threading.Thread(target=take, args=(name,)) for name in range(20)]
    with turns.mine():
        for waiting, thread in enumerate(threads, start=2):
            thread.start()
            while len(turns._waiting) < waiting:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == list(range(20))


def test_gateways_are_kept_apart_and_without_a_directory_so_are_processes(tmp_path: Path) -> None:
    assert gateway_directory(tmp_path, "127.0.0.1", 4002) != gateway_directory(tmp_path, "127.0.0.1", 7497)
    mine = gateway_directory(None, "::1", 4002)
    assert mine == gateway_directory(None, "::1", 4002)
    program = (
        "from trading_platform.brokers.ibkr.shared_state import gateway_directory;"
        "print(gateway_directory(None, '::1', 4002))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() != str(mine)
