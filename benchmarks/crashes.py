"""Break everything around the order path at random, then compare the ledger with the broker's own books.

Real PostgreSQL, the real paper gateway with its saved account, the real client library over a real socket, and runs
that call what the assets call, each in a process of its own. Over many ticks of 25 symbols the run, the gateway,
PostgreSQL or the connection is killed, at random instants and at named points, sometimes with two runs of one tick at
once. Every tick is run again. Ends with exit code 1 and the differences if broker and ledger disagree in anything.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import signal
import sys
import time
from contextlib import redirect_stdout
from datetime import date, datetime, timedelta, timezone
from multiprocessing.process import BaseProcess

from crash_audit import Audit, audit
from crash_proxy import Cut
from crash_report import Figures, report, where_it_struck
from crash_run import (
    BROKEN,
    CADENCE_MINUTES,
    FINISHED,
    PER_ORDER,
    POINTS,
    SPECS,
    SYMBOLS,
    Patience,
    PointedLedger,
    Strike,
    TickPlan,
    as_process,
    quote_all,
    rehearse,
    trade,
    warm,
    watch,
)
from crash_world import ACCOUNT, World, forked

from trading_platform.domain.calendars import get_calendar
from trading_platform.paper_gateway.faults import (
    Delay,
    DropConnection,
    DuplicateStatus,
    Fault,
    Mute,
    RejectOrders,
    StatusBeforeExecution,
    SwallowAcknowledgement,
)
from trading_platform.paper_gateway.messages.ids import Incoming, Outgoing
from trading_platform.storage.ledger import Ledger

FIRST_SESSION = date(2012, 10, 1)
ATTEMPTS = 6
HANGING_SECONDS = 90.0
KINDS = {
    "run killed at a random instant": 18,
    "run killed at a point": 24,
    "gateway killed at a random instant": 9,
    "gateway killed at a point": 9,
    "PostgreSQL killed at a random instant": 6,
    "PostgreSQL killed at a point": 6,
    "connection cut at a random byte": 16,
    "connection silent from a random byte on": 2,
    "connection dropped by the gateway around a message": 10,
}
"""Kinds of crashes with their weights."""


class Program:
    """The crashing of one world, from a seed."""

    def __init__(self, seed: int, crashes: int, patience: Patience, *, is_verbose: bool) -> None:
        self.seed = seed
        self.wanted = crashes
        self.patience = patience
        self.is_verbose = is_verbose
        self.random = random.Random(seed)
        self.calendar = get_calendar("XNYS")
        self.figures = Figures()
        self.prices: dict[str, float] = {}
        self.duration = 1.0
        self.bytes = {"to gateway": 20_000, "to client": 60_000}
        self.number = 0
        self.is_stopped = False
        self.world = World(self.calendar.open_of(FIRST_SESSION) + timedelta(seconds=45))
        self.log = self.world.home / "runs.log"
        self.ledger = PointedLedger(self.world.ledger_url)

    @property
    def crashes(self) -> int:
        """How many have struck."""
        return self.figures.total

    def run(self) -> Audit:
        """Session after session until enough crashes have struck. Returns the last audit."""
        session = FIRST_SESSION
        result = Audit()
        self.see_prices()
        with self.log.open("a") as log, redirect_stdout(log):
            rehearse(self.world, self.ledger, self.plan(session, self.calendar.open_of(session)), self.patience)
        while self.crashes < self.wanted and not self.figures.failures and not self.is_stopped:
            self.trade_session(session)
            result = self.close_session(session)
            session = self.calendar.offset(session, 1)
        return result

    def trade_session(self, session: date) -> None:
        """All ticks of a session."""
        opening = self.calendar.open_of(session)
        self.world.clock.set(opening + timedelta(seconds=45))
        self.see_prices()
        self.figures.sessions += 1
        first = 1 if session == FIRST_SESSION else 0  # the first tick was the rehearsal's
        for index in range(
            first, int((self.calendar.close_of(session) - opening) / timedelta(minutes=CADENCE_MINUTES))
        ):
            if self.crashes >= self.wanted or self.figures.failures or self.is_stopped:
                return
            tick = opening + timedelta(minutes=CADENCE_MINUTES * index)
            self.world.clock.set(tick + timedelta(seconds=self.random.randint(5, 100)))
            self.break_tick(self.plan(session, tick))
            for minutes in sorted(self.random.sample(range(3, 30), self.random.choice((1, 1, 2)))):
                self.world.clock.set(tick + timedelta(minutes=minutes))
                time.sleep(0.05)  # the gateway steps
                self.break_watch()

    def close_session(self, session: date) -> Audit:
        """After the close: reconcile, then compare with the gateway's file."""
        self.world.clock.set(self.calendar.close_of(session) + timedelta(minutes=10))
        time.sleep(0.1)
        for _ in range(3):
            self.settle(watch)
        self.world.kill_gateway()
        result = audit(self.world.ledger_url, self.world.state)
        for difference in result.differences:
            self.fail(f"after session {session}: {difference}")
        self.world.repair()
        self.say(
            f"{session}: {self.crashes} crashes, {self.figures.ticks} ticks, {result.orders} orders, "
            f"{result.executions} fills, {len(result.differences)} differences"
        )
        return result

    def plan(self, session: date, tick: datetime) -> TickPlan:
        """What the strategies of the tick want: most symbols change at every tick."""
        self.number += 1
        rng = random.Random(f"{self.seed}:{self.number}")
        weights = {
            symbol: 0.0 if rng.random() < 0.1 else round(rng.uniform(-1, 1), 3)
            for symbol in SYMBOLS
            if rng.random() < 0.9
        }
        spec = SPECS[self.number % len(SPECS)]
        return TickPlan(self.number, spec, tick, session.isoformat(), weights, self.prices)

    def break_tick(self, plan: TickPlan) -> None:
        """Run a tick, crashing it a few times, until it has run to its end."""
        self.figures.ticks += 1
        weather = self.weather()
        for _ in range(self.random.choice((2, 3, 3, 4))):
            for fault in weather:
                self.world.add_fault(fault)
            self.attempt(trade, (plan,))
        if self.random.random() < 0.08:
            self.figures.given_up += 1  # nobody runs this tick again: the next runs have to clear up
            return
        self.settle(trade, plan)

    def break_watch(self) -> None:
        """Reconcile between ticks, as the sensor does; now and then that is crashed too."""
        if self.random.random() < 0.15:
            self.attempt(watch, ())
        self.settle(watch)

    def weather(self) -> list[Fault]:
        """What the real gateway does now and then, and what is no crash."""
        if self.random.random() < 0.7:
            return []
        return self.random.sample(
            [
                DuplicateStatus(),
                StatusBeforeExecution(),
                Delay(0.02, Outgoing.ORDER_STATUS),
                Delay(0.05, Outgoing.COMMISSION_REPORT),
                SwallowAcknowledgement(),
                RejectOrders(10349, "Order TIF was set to DAY based on order preset."),
                RejectOrders(201, "Order rejected - reason: drawn by lot"),
                Mute(Outgoing.COMMISSION_REPORT, count=3),
            ],
            self.random.randint(1, 3),
        )

    def attempt(self, work, arguments: tuple[object, ...]) -> None:
        """One run (or two at once) with one crash."""
        kind = self.random.choices(list(KINDS), KINDS.values())[0]
        is_twin = work is trade and self.random.random() < 0.2
        strike = self.strike(kind, work)
        drop = self.drop() if kind.startswith("connection dropped") else None
        if drop is not None:
            self.world.add_fault(drop)
        if kind.startswith(("connection cut", "connection silent")):
            direction = self.random.choice(("to gateway", "to client"))
            after = self.random.randint(1, self.bytes[direction])
            self.world.plan_cut(Cut(direction, after, "reset" if "cut" in kind else "silence"))
        began = time.monotonic()
        processes = [self.start(work, (*arguments, f"run-{self.figures.runs}"), strike)]
        if is_twin:
            self.figures.twins += 1
            time.sleep(self.random.uniform(0, 0.3))
            processes.append(self.start(work, (*arguments, f"run-{self.figures.runs}"), None))
        is_struck = False
        if "random instant" in kind:
            time.sleep(max(0.0, began + self.random.uniform(0.02, self.duration) - time.monotonic()))
            is_struck = any(process.is_alive() for process in processes)
            if kind.startswith("run"):
                victim = self.random.choice(processes)
                is_struck = victim.is_alive()
                victim.kill()
            elif kind.startswith("gateway"):
                self.world.kill_gateway()
            else:
                self.world.kill_postgres()
            if not kind.startswith("run") and self.random.random() < 0.5:
                time.sleep(self.random.uniform(0, 0.2))
                self.world.repair()
        codes = self.wait(processes)
        if "at a point" in kind:
            is_struck = {
                "run": -9 in codes,
                "gateway": not self.world.is_gateway_alive,
                "postgres": not self.world.is_postgres_alive,
            }[strike.victim]
        active = self.world.clear_faults() if self.world.is_gateway_alive else ()
        if drop is not None:
            is_struck = drop not in active
        self.world.plan_cut(None)
        self.world.repair()
        passed = self.world.connections()
        if "byte" in kind:
            is_struck = any(connection.struck for connection in passed)
        if is_struck:
            self.count(kind, strike, arguments)

    def strike(self, kind: str, work) -> Strike | None:
        """For a crash at a point: which, and the how many-eth time."""
        if "at a point" not in kind:
            return None
        victim = {"run": "run", "gateway": "gateway", "PostgreSQL": "postgres"}[kind.split(maxsplit=1)[0]]
        points = POINTS if work is trade else POINTS[-2:]
        point = self.random.choice(points)
        return Strike(point, self.random.choice((1, 2, 3, 5, 8, 13)) if point in PER_ORDER else 1, victim)

    def drop(self) -> DropConnection:
        """A connection dropped around a message."""
        if self.random.random() < 0.6:
            nth, when = self.random.choice((1, 2, 3, 5, 8, 13)), self.random.choice(("before", "after"))
            return DropConnection(message_id=Incoming.PLACE_ORDER, direction="in", when=when, nth=nth)
        message = self.random.choice(
            (Outgoing.OPEN_ORDER, Outgoing.ORDER_STATUS, Outgoing.EXECUTION_DETAILS, Outgoing.COMMISSION_REPORT)
        )
        nth, when = self.random.randint(1, 20), self.random.choice(("before", "after"))
        return DropConnection(message_id=message, direction="out", when=when, nth=nth)

    def settle(self, work, *arguments: object) -> None:
        """Run without a crash until it ends well."""
        for _ in range(ATTEMPTS):
            began = time.monotonic()
            codes = self.wait([self.start(work, (*arguments, f"run-{self.figures.runs}"), None)])
            for connection in self.world.connections():
                if work is trade:
                    self.bytes = {"to gateway": connection.to_gateway, "to client": connection.to_client}
            if codes == [FINISHED]:
                if work is trade:
                    self.duration += 0.2 * (time.monotonic() - began - self.duration)
                return
            self.world.repair()
            time.sleep(0.2)
        self.fail(f"{work.__name__} did not end well in {ATTEMPTS} attempts: see {self.log}")

    def see_prices(self) -> None:
        """Ask the gateway what everything costs."""
        path = self.world.home / "prices"
        self.wait([self.fork(quote_all, self.world, self.patience, path)])
        self.prices = ast.literal_eval(path.read_text())

    def start(self, work, arguments: tuple[object, ...], strike: Strike | None) -> BaseProcess:
        """Start a run."""
        self.figures.runs += 1
        return self.fork(work, self.world, self.ledger, *arguments, self.patience, strike)

    def fork(self, *arguments: object) -> BaseProcess:
        """Fork a process."""
        process = forked.Process(target=as_process, args=(self.log, *arguments))
        process.start()
        return process

    def wait(self, processes: list[BaseProcess]) -> list[int]:
        """Exit codes of processes; one that hangs is a failure."""
        deadline = time.monotonic() + HANGING_SECONDS
        codes = []
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                self.fail(f"process {process.pid} hung for {HANGING_SECONDS:.0f} s: see {self.log}")
                process.kill()
                process.join()
            codes.append(process.exitcode or 0)
            self.figures.exits[{0: "finished", 3: "failed with a typed error", -9: "killed"}.get(codes[-1], "?")] += 1
            if codes[-1] == BROKEN:
                self.fail(f"process {process.pid} ended with an error that has no type: see {self.log}")
        return codes

    def count(self, kind: str, strike: Strike | None, arguments: tuple[object, ...]) -> None:
        """Count a crash that struck, and note where it struck by what it left in the ledger."""
        self.figures.crashes[kind] += 1
        if strike is not None:
            self.figures.points[strike.point] += 1
        if not arguments or not isinstance(arguments[0], TickPlan):
            self.figures.struck["between two ticks, while reconciling"] += 1
            return
        plan = arguments[0]
        ledger = Ledger(self.world.ledger_url)
        try:
            record = ledger.tick(ACCOUNT, plan.spec.name, plan.tick_utc)
        finally:
            ledger.close()
        self.figures.struck[where_it_struck([o.status for o in record.orders] if record else None)] += 1

    def fail(self, sentence: str) -> None:
        """Something is wrong."""
        self.figures.failures.append(sentence)
        print(f"FAILED {sentence}", flush=True)

    def say(self, sentence: str) -> None:
        """Progress."""
        if self.is_verbose:
            print(sentence, flush=True)


def main() -> None:
    """Break, compare, show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crashes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(datetime.now(timezone.utc).timestamp()))
    parser.add_argument("--settle-seconds", type=float, default=0.5, help="the platform's own are 2")
    parser.add_argument("--fill-wait-seconds", type=float, default=0.3, help="the platform's own are 3")
    parser.add_argument("--answer-seconds", type=float, default=2.0, help="request time-out; the platform's own are 30")
    parser.add_argument("--quiet", action="store_true")
    arguments = parser.parse_args()
    print(f"python benchmarks/crashes.py --crashes {arguments.crashes} --seed {arguments.seed}", flush=True)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    warm()
    patience = Patience(arguments.settle_seconds, arguments.fill_wait_seconds, arguments.answer_seconds)
    began = time.monotonic()
    program = Program(arguments.seed, arguments.crashes, patience, is_verbose=not arguments.quiet)

    def stop(*_: object) -> None:
        program.is_stopped = True  # the tick is run to its end, and all is compared

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        result = program.run()
        report(program.figures, result, arguments.seed, time.monotonic() - began)
        if program.figures.failures:
            kept = shutil.copy(program.log, f"crashes-{arguments.seed}.log")
            print(f"\n{len(program.figures.failures)} FAILURES; what the runs said is in {kept}")
            for failure in program.figures.failures[:50]:
                print(failure)
            sys.exit(1)
        print("\nThe ledger equals the broker's record.")
    finally:
        program.world.close()


if __name__ == "__main__":
    main()
