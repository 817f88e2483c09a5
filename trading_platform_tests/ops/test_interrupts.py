"""SIGTERM ends a command as Ctrl-C does, and cleaning up is not interrupted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from trading_platform.ops.interrupts import as_keyboard_interrupts, cleaned_up


@pytest.fixture
def heard(number: signal.Signals) -> Iterator[None]:
    """The signal is heard, also where whoever started the tests told them to ignore it, as nohup does."""
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
    yield
    signal.signal(number, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_ending_signal_interrupts_once_and_the_old_handler_comes_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def pressed_twice() -> None:
        with as_keyboard_interrupts():
            try:
                os.kill(os.getpid(), number)
            finally:
                os.kill(os.getpid(), number)  # the impatient second one, while cleaning up

    with pytest.raises(KeyboardInterrupt):
        pressed_twice()
    assert signal.getsignal(number) is before


def test_clean_up_runs_to_its_end_whatever_is_pressed() -> None:
    done: list[str] = []
    with as_keyboard_interrupts(), cleaned_up() as stack:
        stack.callback(done.append, "all")
        stack.callback(os.kill, os.getpid(), signal.SIGINT)
    assert done == ["all"]
