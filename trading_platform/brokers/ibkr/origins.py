"""Where an instrument's prices come from, remembered for all processes that use one gateway.

Every run connects anew, and a tick that asks for each symbol's contract before its bars sends twice the messages.
What is remembered is one word per contract, good for a day: orders always go by details asked on their own connection.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from trading_platform.brokers.ibkr.shared_state import SharedState
from trading_platform.domain.instruments import Instrument

_log = logging.getLogger(__name__)
KEPT_SECONDS = 86_400.0


class DataOrigins:
    """The origins that were told of, by whose prices they are (``requests.whose_prices``) and instrument.

    Args:
        state: of this gateway; see ``shared_state``.
        now: seconds of a clock that only goes forward and that all processes share.
    """

    def __init__(self, state: SharedState, *, now: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._now = now

    def origin_of(self, whose: str, instrument: Instrument, ask: Callable[[], str]) -> str:
        """The origin as it was told of within a day, or else what ``ask`` returns, which is remembered."""
        key = f"{whose} {instrument!r}"
        try:
            known = _recent(self._state.read(), self._now()).get(key)
        except OSError as error:
            _log.warning("what is known of the gateway's contracts can't be read: %s", error)
            known = None
        if known is not None:
            return str(known[0])
        origin = ask()
        try:
            with self._state.changing() as state:
                now = self._now()
                kept = {**_recent(state, now), key: [origin, now]}
                state.clear()
                state.update(kept)
        except OSError as error:  # the next run asks again
            _log.warning("what is known of the gateway's contracts can't be written: %s", error)
        return origin


def _recent(state: dict[str, Any], now: float) -> dict[str, Any]:
    """What is less than a day old. A time that lies ahead was written before the machine started."""
    kept = {key: entry for key, entry in state.items() if isinstance(entry, list) and len(entry) == 2}
    return {key: entry for key, entry in kept.items() if 0 <= now - entry[1] < KEPT_SECONDS}
