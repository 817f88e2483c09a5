"""IBKR's documented pacing rules. Time is an argument: seconds of a monotonic clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

MESSAGES_PER_SECOND = 50
VIOLATIONS_BEFORE_DISCONNECT = 3
ACTIVE_ORDERS_PER_SIDE = 20
SCANNER_SUBSCRIPTIONS = 10
SMALL_BAR_SECONDS = 30


@dataclass(frozen=True)
class HistoryRules:
    """IBKR's limits for requests of historical data; durations are seconds. Shorter ones make a test short.

    ``answer_seconds`` is for how long a request is open before it is answered: 0 answers at once.
    """

    open_requests: int = 50
    identical_within_seconds: float = 15.0
    burst_seconds: float = 2.0
    burst_refused_from: int = 6
    window_seconds: float = 600.0
    window_requests: int = 60
    answer_seconds: float = 0.0


class MessageRate:
    """At most 50 messages per second from one client.

    The clients pace themselves over a second of their own clock; the window is a little shorter here, so
    that jitter between the two clocks is not taken for an offence.
    """

    window_seconds = 0.9

    def __init__(self, limit: int = MESSAGES_PER_SECOND) -> None:
        self.limit = limit
        self.violations = 0
        self._times: deque[float] = deque()

    def admits(self, now: float) -> bool:
        """Count a message at ``now``; False when it is one too many. The count then starts afresh."""
        self._times.append(now)
        while now - self._times[0] > self.window_seconds:
            self._times.popleft()
        if len(self._times) <= self.limit:
            return True
        self.violations += 1
        self._times.clear()
        return False

    @property
    def is_exhausted(self) -> bool:
        """Whether the client offended so often that it is disconnected."""
        return self.violations >= VIOLATIONS_BEFORE_DISCONNECT


@dataclass
class HistoryPacing:
    """The three rules for historical bars of 30 seconds or less, counted for the whole gateway.

    Larger bars are only limited softly at IBKR (slower answers, no error), which is not imitated. Requests
    for BID_ASK count twice. A refused request does not count.
    """

    rules: HistoryRules = field(default_factory=HistoryRules)
    _window: deque[tuple[float, int]] = field(default_factory=deque)
    _identical: dict[Hashable, float] = field(default_factory=dict)
    _bursts: dict[Hashable, deque[tuple[float, int]]] = field(default_factory=dict)

    def violation(self, request: Hashable, stream: Hashable, bar_seconds: int, weight: int, now: float) -> str | None:
        """Count one request; return the rule it breaks, or None.

        Args:
            request: everything that makes two requests identical.
            stream: contract, exchange and tick type.
            bar_seconds: length of the bars.
            weight: 2 for BID_ASK, else 1.
            now: monotonic seconds.
        """
        if bar_seconds > SMALL_BAR_SECONDS:
            return None
        rules = self.rules
        burst = self._bursts.setdefault(stream, deque())
        _forget(burst, now - rules.burst_seconds)
        _forget(self._window, now - rules.window_seconds)
        asked_before = self._identical.get(request)
        if asked_before is not None and now - asked_before < rules.identical_within_seconds:
            return f"identical request within {rules.identical_within_seconds:g} seconds"
        if _total(burst) + weight >= rules.burst_refused_from:
            return (
                f"{rules.burst_refused_from} or more requests for the same contract, exchange and tick type within "
                f"{rules.burst_seconds:g} seconds"
            )
        if _total(self._window) + weight > rules.window_requests:
            return f"more than {rules.window_requests} requests within {rules.window_seconds:g} seconds"
        self._identical[request] = now
        burst.append((now, weight))
        self._window.append((now, weight))
        self._drop_stale(now)
        return None

    def _drop_stale(self, now: float) -> None:
        rules = self.rules
        if len(self._identical) > 4 * rules.window_requests:
            self._identical = {k: t for k, t in self._identical.items() if now - t < rules.identical_within_seconds}
            self._bursts = {k: d for k, d in self._bursts.items() if d and now - d[-1][0] < rules.burst_seconds}


def _forget(entries: deque[tuple[float, int]], before: float) -> None:
    while entries and entries[0][0] <= before:
        entries.popleft()


def _total(entries: deque[tuple[float, int]]) -> int:
    return sum(weight for _, weight in entries)
