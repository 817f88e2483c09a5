"""One holder at a time; a dead one holds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trading_platform.ops.home_lock import LockHeldError, hold

HOLDER = """
import sys, time
from pathlib import Path
from trading_platform.ops.home_lock import hold
with hold(Path(sys.argv[1])) as lock:
    lock.tell(url="http://here")
    print("held", flush=True)
    time.sleep(99)
"""


def test_a_second_holder_is_told_about_the_first(tmp_path: Path) -> None:
    with hold(tmp_path / "lock") as lock:
        lock.tell(url="http://here")
        with pytest.raises(LockHeldError) as caught, hold(tmp_path / "lock"):
            pass
        assert caught.value.facts == {"pid": os.getpid(), "url": "http://here"}


def test_nothing_is_left_and_the_next_one_gets_it(tmp_path: Path) -> None:
    for _ in range(2):
        with hold(tmp_path / "lock"):
            pass
        assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(LockHeldError), hold(tmp_path / "lock"):
        pass
    holder.kill()
    holder.communicate()
    with hold(tmp_path / "lock"):
        assert (tmp_path / "lock").exists()
