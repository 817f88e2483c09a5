"""The limiter against an independent judge: whatever is asked, what it lets go breaks no rule of IBKR's."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.brokers.ibkr.pacing import HistoryPacer, PacedRequest, PacingRules
from trading_platform.domain.instruments import Instrument
from trading_platform.paper_gateway.pacing import HistoryPacing

RULES = PacingRules()
SMALL, LARGE = 30, 60


@dataclass
class Time:
    """A clock that stands still unless somebody sleeps, and how long was slept."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass(frozen=True)
class Asked:
    """One request of a script: when it is asked for after the one before, and how long it is under way."""

    pause: float
    number: int
    stream: int
    is_small: bool
    weight: int
    seconds_there: float
    seconds_back: float

    @property
    def request(self) -> PacedRequest:
        return PacedRequest(f"{self.stream}/{self.number}", f"{self.stream}", self.is_small, self.weight)

    def verdict(self, judge: HistoryPacing, moment: float) -> str | None:
        request, bar_seconds = self.request, SMALL if self.is_small else LARGE
        return judge.violation(request.identity, request.stream, bar_seconds, self.weight, moment)


def asked(pauses: list[float], there: list[float], back: list[float]) -> st.SearchStrategy[Asked]:
    return st.builds(
        Asked,
        pause=st.sampled_from(pauses),
        number=st.integers(0, 3),
        stream=st.integers(0, 2),
        is_small=st.sampled_from([True, True, True, False]),
        weight=st.sampled_from([1, 1, 2]),
        seconds_there=st.sampled_from(there),
        seconds_back=st.sampled_from(back),
    )


def pacer(directory: Path, time: Time, rules: PacingRules = RULES) -> HistoryPacer:
    return HistoryPacer(directory, rules, longest_seconds=80, now=lambda: time.now, sleep=time.sleep)


SLOW = asked([0, 0, 0, 0.1, 1.9, 2, 14.9, 15, 60, 599], [0, 0.05, 1, 10], [0, 0.05, 3])
QUICK = asked([0, 0, 0, 0.1, 1.9, 2, 14.9, 15, 60, 599], [0], [0])


@settings(max_examples=60, deadline=None)
@given(script=st.lists(SLOW, max_size=90))
def test_the_judge_admits_all_that_was_let_go_however_long_it_was_under_way(script: list[Asked]) -> None:
    time, judge = Time(), HistoryPacing()
    with TemporaryDirectory() as directory:
        limiter = pacer(Path(directory), time)
        for one in script:
            time.now += one.pause
            with limiter.admitted(one.request):
                time.now += one.seconds_there
                assert one.verdict(judge, time.now) is None
                time.now += one.seconds_back


@settings(max_examples=40, deadline=None)
@given(script=st.lists(SLOW, max_size=60), open_at_once=st.integers(2, 5))
def test_so_it_does_when_requests_overtake_each_other_under_way(script: list[Asked], open_at_once: int) -> None:
    """Several are open; the newest arrives first and the oldest last, which is the worst for a window's end."""
    time, arrivals, under_way = Time(), list[tuple[float, Asked]](), list[tuple[Asked, ExitStack]]()

    def let_all_arrive() -> None:
        while under_way:
            arrived, admission = under_way.pop()
            time.now += arrived.seconds_there
            arrivals.append((time.now, arrived))
            admission.close()

    def sleep(seconds: float) -> None:
        let_all_arrive()
        time.sleep(seconds)

    with TemporaryDirectory() as directory:
        limiter = HistoryPacer(Path(directory), RULES, longest_seconds=1e9, now=lambda: time.now, sleep=sleep)
        for one in script:
            time.now += one.pause
            admission = ExitStack()
            admission.enter_context(limiter.admitted(one.request))
            under_way.append((one, admission))
            if len(under_way) == open_at_once:
                let_all_arrive()
        let_all_arrive()
    judge = HistoryPacing()
    assert [one.verdict(judge, moment) for moment, one in arrivals] == [None] * len(script)


@settings(max_examples=60, deadline=None)
@given(script=st.lists(QUICK, max_size=90))
def test_nothing_waits_longer_than_the_judge_demands(script: list[Asked]) -> None:
    time, judge, history = Time(), HistoryPacing(), list[tuple[float, Asked]]()
    with TemporaryDirectory() as directory:
        limiter = pacer(Path(directory), time)
        for one in script:
            time.now += one.pause
            asked_at = time.now
            with limiter.admitted(one.request):
                let_go_at = time.now
            if let_go_at - asked_at > 0.01:
                earlier = HistoryPacing()
                assert all(past.verdict(earlier, moment) is None for moment, past in history)
                assert one.verdict(earlier, let_go_at - 0.01) is not None
            assert one.verdict(judge, let_go_at) is None
            history.append((let_go_at, one))


def small(identity: str, stream: str = "AAPL") -> PacedRequest:
    return PacedRequest(identity, stream, is_small=True)


def test_larger_bars_wait_for_nothing_but_a_place(tmp_path: Path) -> None:
    time = Time()
    limiter = pacer(tmp_path, time)
    for _ in range(200):
        with limiter.admitted(PacedRequest("same", "same", is_small=False)):
            pass
    assert time.slept == []


def test_the_sixty_first_request_waits_for_the_first_ones_ten_minutes(tmp_path: Path) -> None:
    time = Time()
    limiter = pacer(tmp_path, time)
    for number in range(60):
        with limiter.admitted(small(str(number), stream=str(number))):
            pass
    assert time.slept == []
    time.now += 200
    with limiter.admitted(small("60")):
        assert sum(time.slept) == pytest.approx(400)


def test_what_one_process_asked_counts_for_the_other_and_for_the_next(tmp_path: Path) -> None:
    time = Time()
    with pacer(tmp_path, time).admitted(small("same")):
        pass
    with pacer(tmp_path, time).admitted(small("same")):
        assert sum(time.slept) == pytest.approx(15)


def test_a_request_of_a_process_that_died_ends_when_it_can_last_no_longer(tmp_path: Path) -> None:
    time = Time()
    admission = pacer(tmp_path, time).admitted(small("same"))
    admission.__enter__()  # and nobody leaves it
    with pacer(tmp_path, time).admitted(small("same")):
        assert sum(time.slept) == pytest.approx(80 + 15)


def test_what_was_asked_before_the_machine_started_anew_counts_as_just_asked(tmp_path: Path) -> None:
    time = Time(now=1_000_000.0)
    with pacer(tmp_path, time).admitted(small("same")):
        pass
    time.now = 20.0
    with pacer(tmp_path, time).admitted(small("same")):
        assert sum(time.slept) == pytest.approx(15)


def test_no_more_requests_are_open_at_once_than_allowed(tmp_path: Path) -> None:
    limiters = [HistoryPacer(tmp_path, PacingRules(open_requests=3), longest_seconds=80) for _ in range(2)]
    open_now, most, lock = 0, 0, threading.Lock()
    gate = threading.Barrier(12)

    def ask(limiter: HistoryPacer) -> None:
        nonlocal open_now, most
        gate.wait()
        for _ in range(10):
            with limiter.admitted(PacedRequest("r", "s", is_small=False)):
                with lock:
                    open_now += 1
                    most = max(most, open_now)
                threading.Event().wait(0.002)
                with lock:
                    open_now -= 1

    threads = [threading.Thread(target=ask, args=(limiters[number % 2],)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3


def test_a_request_that_fails_gives_its_place_back(tmp_path: Path) -> None:
    limiter = HistoryPacer(tmp_path, PacingRules(open_requests=1), longest_seconds=80)

    def fail() -> None:
        with limiter.admitted(PacedRequest("r", "s", is_small=False)):
            raise TimeoutError

    for _ in range(3):
        with pytest.raises(TimeoutError):
            fail()


def test_an_answer_is_not_lost_when_its_end_can_not_be_kept(tmp_path: Path) -> None:
    time = Time()
    limiter = pacer(tmp_path, time)
    with limiter.admitted(small("same")):
        (tmp_path / "small_bar_requests.draft").mkdir()  # where the next state would be written
    (tmp_path / "small_bar_requests.draft").rmdir()
    with limiter.admitted(small("same")):
        assert sum(time.slept) == pytest.approx(80 + 15)


@pytest.mark.parametrize(
    ("bar_size", "is_small"), [("1 secs", True), ("30 secs", True), ("1 min", False), ("1 hour", False)]
)
def test_small_bars_are_those_of_thirty_seconds_or_less(bar_size: str, is_small: bool) -> None:
    assert request(bar_size=bar_size).is_small is is_small


def test_a_request_for_bid_and_ask_counts_twice() -> None:
    assert (request().weight, request("BID_ASK").weight) == (1, 2)


def test_requests_are_identical_when_everything_is_the_same_and_of_one_stream_when_the_contract_is() -> None:
    one = request()
    assert one == request()
    for other in (request(duration="2 D"), request(bar_size="5 mins"), request(end=None)):
        assert other.identity != one.identity
        assert other.stream == one.stream
    assert request(instrument=Instrument("MSFT")).stream != one.stream
    assert request("MIDPOINT").stream != one.stream


def request(
    tick_type: str = "TRADES",
    *,
    instrument: Instrument = Instrument("AAPL"),  # noqa: B008 - a frozen value
    end: datetime | None = datetime(2013, 2, 27, 21, tzinfo=timezone.utc),
    duration: str = "1 D",
    bar_size: str = "1 min",
) -> PacedRequest:
    return PacedRequest.of(
        instrument,
        tick_type,
        end=end,
        duration=duration,
        bar_size=bar_size,
        regular_hours_only=True,
        rules=RULES,
    )
