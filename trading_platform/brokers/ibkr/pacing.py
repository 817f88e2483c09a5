"""IBKR's rules for requests of historical data, kept by waiting, for all threads and processes at once.

The rules (IBKR, "Historical Data Limitations", "Pacing Violations for Small Bars"): at most 50 requests open at a time;
and for bars of 30 seconds or less no identical request within 15 seconds, fewer than six for the same contract,
exchange and tick type within two seconds, at most 60 within ten minutes. A request for BID_ASK counts twice.

Why no margin is needed. IBKR counts a request when it arrives there, which nobody here sees; but it is after it was let
go and before its answer came. So a request is counted here from when it is let go until a whole window has passed since
its *answer*: however long either was under way, IBKR sees them further apart than that.

Fifty messages in a second are another rule, kept by the client library for each connection.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from trading_platform.brokers.base import BrokerError
from trading_platform.brokers.ibkr.shared_state import SharedState, Slots, Turns
from trading_platform.domain.instruments import Instrument

_log = logging.getLogger(__name__)
_LOOK_AGAIN_SECONDS = 0.02
_SHORTEST_SLEEP_SECONDS = 0.001


@dataclass(frozen=True)
class PacingRules:
    """IBKR's numbers. ``…_requests`` are the most that are allowed; durations are seconds."""

    open_requests: int = 50
    small_bar_seconds: int = 30
    identical_seconds: float = 15.0
    burst_seconds: float = 2.0
    burst_requests: int = 5
    window_seconds: float = 600.0
    window_requests: int = 60


@dataclass(frozen=True)
class PacedRequest:
    """What the rules look at: what makes two requests identical, the stream they are for, and how much one counts."""

    identity: str
    stream: str
    is_small: bool
    weight: int = 1

    @classmethod
    def of(
        cls,
        instrument: Instrument,
        tick_type: str,
        *,
        end: datetime | None,
        duration: str,
        bar_size: str,
        regular_hours_only: bool,
        rules: PacingRules,
    ) -> PacedRequest:
        """The request for one instrument's bars; ``tick_type`` is TWS's "what to show"."""
        stream = (instrument.symbol, instrument.security_type, instrument.currency, instrument.exchange, tick_type)
        asked = (str(end), duration, bar_size, regular_hours_only)
        count, _, unit = bar_size.partition(" ")
        return cls(
            identity=_digest(*stream, *asked),
            stream=_digest(*stream),
            is_small=unit.startswith("sec") and int(count) <= rules.small_bar_seconds,
            weight=2 if tick_type == "BID_ASK" else 1,
        )


@dataclass
class PacedEntry:
    """One request for small bars that was let go at ``granted``. ``ended``: its answer came, or nobody waits for it.

    Of a process that died nobody will know: its request counts as ended at ``ends_by``.
    """

    identity: str
    stream: str
    weight: int
    granted: float
    ends_by: float
    ended: float | None = None

    def end(self, now: float) -> float:
        """When it ended, or the earliest moment at which it can."""
        return min(now, self.ends_by if self.ended is None else self.ended)


def seconds_to_wait(entries: Iterable[PacedEntry], request: PacedRequest, rules: PacingRules, now: float) -> float:
    """How long ``request`` has to wait at least; 0 when it may go now. To be asked again after that time."""
    past = list(entries)
    return max(
        _until_there_is_room((e for e in past if e.identity == request.identity), rules.identical_seconds, 0, now),
        _until_there_is_room(
            (e for e in past if e.stream == request.stream),
            rules.burst_seconds,
            rules.burst_requests - request.weight,
            now,
        ),
        _until_there_is_room(past, rules.window_seconds, rules.window_requests - request.weight, now),
    )


class HistoryPacer:
    """Lets requests for historical data go when all rules allow it, in the order in which the threads asked.

    One per gateway and process is enough, several do no harm: what counts is in the files of ``directory``. Requests of
    other API clients of the same login are not known here.

    Args:
        directory: of this gateway; see ``shared_state``.
        longest_seconds: how long a request can take at most, before nobody waits for it any more.
        now: seconds of a clock that only goes forward and that all processes share.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        directory: Path,
        rules: PacingRules,
        *,
        longest_seconds: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._directory = directory
        self._rules = rules
        self._longest_seconds = longest_seconds
        self._now = now
        self._sleep = sleep
        self._slots = Slots(directory / "open_history_requests", rules.open_requests)
        self._state = SharedState(directory / "small_bar_requests.json")
        self._all_requests = Turns()
        self._small_requests = Turns()

    @contextmanager
    def admitted(self, request: PacedRequest) -> Iterator[None]:
        """Wait until ``request`` may be sent. The block sends it and waits for its answer.

        Small bars queue by themselves: a wait of minutes for them delays nobody who asks for larger ones.

        Raises:
            BrokerError: what is under way can't be known, since the files can't be read or written. Nothing was sent.
        """
        with ExitStack() as held:
            try:
                self._wait(request, held)
            except OSError as error:
                msg = (
                    f"requests for history can't be paced, so none is sent: {self._directory} can't be written "
                    f"({error.strerror or error}): free some space or its permissions"
                )
                raise BrokerError(msg) from error
            yield

    def _wait(self, request: PacedRequest, held: ExitStack) -> None:
        if not request.is_small:
            self._wait_for_slot(held)
            return
        with self._small_requests.mine():
            self._wait_for_slot(held)
            name = self._wait_for_windows(request)
        held.callback(self._end, name)

    def _wait_for_slot(self, held: ExitStack) -> None:
        with self._all_requests.mine():
            while (give_back := self._slots.take()) is None:
                self._sleep(_LOOK_AGAIN_SECONDS)
        held.callback(give_back)

    def _wait_for_windows(self, request: PacedRequest) -> str:
        while True:
            with self._state.changing() as state:
                now = self._now()
                entries = _entries(state, self._rules, now)
                wait = seconds_to_wait(entries.values(), request, self._rules, now)
                name = uuid4().hex
                if wait <= 0:
                    entries[name] = PacedEntry(
                        request.identity, request.stream, request.weight, now, now + self._longest_seconds
                    )
                _keep(state, entries)
            if wait <= 0:
                return name
            self._sleep(max(wait, _SHORTEST_SLEEP_SECONDS))

    def _end(self, name: str) -> None:
        try:
            with self._state.changing() as state:
                now = self._now()
                entries = _entries(state, self._rules, now)
                if name in entries:
                    entries[name].ended = now
                _keep(state, entries)
        except OSError as error:
            # the answer is there and must not be lost; the request counts a little longer, as if its process had died
            _log.warning("%s can't be written: %s", self._directory, error)


def _until_there_is_room(entries: Iterable[PacedEntry], seconds: float, room: int, now: float) -> float:
    """How long until what still counts of ``entries`` is no more than ``room``."""
    counting = sorted((entry.end(now), entry.weight) for entry in entries if now - entry.end(now) < seconds)
    excess = sum(weight for _, weight in counting) - room
    wait = 0.0
    for end, weight in counting:
        if excess <= 0:
            break
        excess -= weight
        wait = seconds - (now - end)
    return wait


def _entries(state: dict[str, object], rules: PacingRules, now: float) -> dict[str, PacedEntry]:
    """What still counts of the kept entries. Times ahead are from before the machine started: they count as now."""
    kept = state.get("entries", {})
    longest = max(rules.identical_seconds, rules.burst_seconds, rules.window_seconds)
    entries = {name: PacedEntry(**values) for name, values in kept.items()} if isinstance(kept, dict) else {}
    for entry in entries.values():
        if entry.granted > now:
            entry.granted, entry.ended = now, now
        elif entry.ended is not None:
            entry.ended = min(entry.ended, now)
    return {name: entry for name, entry in entries.items() if now - entry.end(now) < longest}


def _keep(state: dict[str, object], entries: dict[str, PacedEntry]) -> None:
    state["entries"] = {name: asdict(entry) for name, entry in entries.items()}


def _digest(*parts: object) -> str:
    return sha256(repr(parts).encode()).hexdigest()[:20]
