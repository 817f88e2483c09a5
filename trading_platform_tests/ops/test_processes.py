"""Children end together, with what they started, also when their parent is killed."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from trading_platform.ops.processes import ChildProcess, free_port, run_if_killed, start, stop

GRANDCHILD = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)", TAG])
time.sleep(99)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
PARENT = """
import sys, time
from pathlib import Path
from trading_platform.ops.processes import run_if_killed, start
start("child", [sys.executable, "-c", sys.argv[1]], log=Path(sys.argv[2]) / "child.log")
with run_if_killed([sys.executable, "-c", "from pathlib import Path; Path(r'%s').touch()" % sys.argv[3]]):
    print("up", flush=True)
    time.sleep(99)
"""


def tagged(tag: str) -> list[int]:
    """Ids of living processes with ``tag`` among their arguments."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if tag in " ".join(process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def wait_until(count: int, tag: str) -> None:
    """Wait until so many processes with ``tag`` live."""
    deadline = time.monotonic() + 30
    while len(tagged(tag)) != count:
        assert time.monotonic() < deadline, f"{len(tagged(tag))} processes, not {count}"
        time.sleep(0.05)


def python(code: str, log: Path) -> ChildProcess:
    """A child that executes ``code``."""
    return start("child", [sys.executable, "-c", code], log=log)


def test_stopping_a_child_stops_what_it_started(tmp_path: Path) -> None:
    tag = f"tag-{tmp_path}"
    child = python(GRANDCHILD.replace("TAG", repr(tag)), tmp_path / "log")
    wait_until(2, tag)
    stop([child])
    assert not child.is_alive
    assert tagged(tag) == []


def test_a_child_that_does_not_listen_is_killed_after_the_grace(tmp_path: Path) -> None:
    child = python(DEAF, tmp_path / "log")
    while "deaf" not in child.tail():
        time.sleep(0.02)
    stop([child], grace_seconds=0.3)
    assert child.popen.returncode == -9


def test_the_log_keeps_what_a_child_printed(tmp_path: Path) -> None:
    child = python("print('one'); print('two'); raise SystemExit(3)", tmp_path / "logs" / "child.log")
    child.popen.wait(30)
    assert child.tail(lines=1) == "two"
    stop([child])


def test_when_the_parent_is_killed_its_children_and_theirs_end_and_the_last_wish_is_done(tmp_path: Path) -> None:
    tag = f"tag-{tmp_path}"
    wish = tmp_path / "wish"
    arguments = [GRANDCHILD.replace("TAG", repr(tag)), str(tmp_path), str(wish)]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *arguments], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    wait_until(3, tag)
    parent.kill()
    parent.communicate()
    wait_until(0, tag)
    deadline = time.monotonic() + 30
    while not wish.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_last_wish_is_not_done_when_its_block_ends(tmp_path: Path) -> None:
    wish = tmp_path / "wish"
    with run_if_killed([sys.executable, "-c", f"from pathlib import Path; Path(r'{wish}').touch()"]):
        pass
    assert not wish.exists()


def test_a_taken_port_gives_way_to_the_next_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        port = free_port(taken)
    assert taken < port <= taken + 20 or port > 0
    assert port != taken
    assert free_port() != 0
