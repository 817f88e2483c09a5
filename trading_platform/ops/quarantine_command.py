"""``trading-platform quarantine``: see what validation found, and decide about single bars. Needs only the lake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from trading_platform.domain.market_data.reasons import RELEASABLE
from trading_platform.domain.suggestions import did_you_mean
from trading_platform.ops import local
from trading_platform.ops.kill_switch_command import who
from trading_platform.settings import get_settings
from trading_platform.specs.configured import configured_feeds

if TYPE_CHECKING:
    from trading_platform.domain.market_data.validation.model import Verdict
    from trading_platform.storage.lake import Lake

SESSIONS_LISTED = 20
"""Of each feed so many sessions are listed, the newest, unless one is named."""


class QuarantineError(RuntimeError):
    """What was asked for can't be decided; the message says why."""


@dataclass(frozen=True)
class _Listed:
    """One row of a feed's log."""

    feed: str
    row: dict[str, Any]

    @property
    def line(self) -> str:
        one = self.row
        blocks = ", blocks orders" if one["is_blocking"] else ""
        return (
            f"{one['bar_id']}  {self.feed} {one['session']} {one['symbol']} {one['ts_utc']:%H:%M}Z  "
            f"{one['action']}{blocks}: {one['reason']}: {one['detail']}"
        )


def list_bars(*, as_of: datetime | None, feed: str | None, session: date | None, is_all: bool) -> int:
    """Show what was set aside or is held, with what was decided about it; with ``is_all`` also warnings and repairs."""
    from trading_platform.storage.bar_decisions import BarDecisions

    shown = 0
    with local.environment_restored():
        lake, feeds = _open(as_of, feed)
        decisions = BarDecisions(lake)
        for name in feeds:
            found = [
                one
                for one in _rows(lake, name, _sessions(lake, name, session))
                if is_all or one.row["action"] in ("quarantined", "held")
            ]
            decided = {one.bar_id: one for one in decisions.of(name, {one.row["session"] for one in found})}
            for one in found:
                click.echo(one.line)
                decision = decided.get(one.row["bar_id"])
                if decision is not None:
                    click.echo(
                        f"            {decision.verdict} by {decision.who} at {decision.at:%Y-%m-%d %H:%M} UTC: "
                        f"{decision.why}"
                    )
            shown += len(found)
    click.echo(f"{shown} bars" if shown else "no bars are set aside or held")
    return 0


def decide(bar_id: str, verdict: Verdict, *, as_of: datetime | None, feed: str | None, why: str, by: str | None) -> int:
    """Record that a bar is right (``released``) or wrong (``confirmed``); say what to do for it to take effect.

    Raises:
        QuarantineError: no such bar is listed, or it can't be released.
    """
    from trading_platform.domain.market_data.validation.model import BarDecision
    from trading_platform.storage.bar_decisions import BarDecisions

    with local.environment_restored():
        lake, feeds = _open(as_of, feed)
        clock = get_settings().clock
        one = _find(lake, feeds, bar_id)
        if one.row["action"] == "repaired":
            msg = f"the bar {bar_id} was repaired ({one.row['reason']}): there is nothing to decide about it"
            raise QuarantineError(msg)
        if verdict == "released" and one.row["reason"] not in RELEASABLE:
            msg = f"the bar {bar_id} can't be released: {one.row['reason']} is no bar ({one.row['detail']})"
            raise QuarantineError(msg)
        decision = BarDecision(
            bar_id=bar_id,
            symbol=one.row["symbol"],
            ts_utc=one.row["ts_utc"].to_pydatetime(),
            verdict=verdict,
            reason=one.row["reason"],
            who=by or who(),
            at=clock.now(),
            why=why,
        )
        BarDecisions(lake).record(one.feed, one.row["session"], decision)
    click.echo(one.line)
    click.echo(
        f"{verdict} by {decision.who}. It takes effect when market_data/{one.feed}_validated_bars is next materialized "
        f"for {one.row['session']}, as a tick of that session does; materialize what follows from it too"
    )
    return 0


def _open(as_of: datetime | None, feed: str | None) -> tuple[Lake, list[str]]:
    """The lake of the world, and the feeds to look at."""
    if as_of is not None:
        local.move_clock(as_of)
    settings = get_settings()
    known = [one.name for one in configured_feeds(settings)]
    if feed is not None and feed not in known:
        msg = f"there is no feed {feed!r}{did_you_mean(feed, known) or '; known: ' + ', '.join(known)}"
        raise QuarantineError(msg)
    lake = local.configured_lake(settings)
    return lake, [feed] if feed is not None else known


def _table(feed: str) -> tuple[str, str]:
    return "market_data", f"{feed}_quarantined_bars"


def _sessions(lake: Lake, feed: str, session: date | None) -> list[str]:
    if session is not None:
        return [session.isoformat()]
    return lake.stored_sessions(_table(feed))[-SESSIONS_LISTED:]


def _rows(lake: Lake, feed: str, sessions: Sequence[str]) -> Iterator[_Listed]:
    """The log's rows, session by session. Tables written before bars had ids hold nothing to decide about."""
    for session in sessions:
        frame = lake.read_sessions(_table(feed), [session], is_missing_ok=True)
        if "bar_id" in frame.columns:
            yield from (
                _Listed(feed, dict(zip(frame.columns, row, strict=True))) for row in frame.itertuples(index=False)
            )


def _find(lake: Lake, feeds: Sequence[str], bar_id: str) -> _Listed:
    """The bar's row that blocks, or its first; the newest sessions are looked through first."""
    for feed in feeds:
        for session in reversed(lake.stored_sessions(_table(feed))):
            found = [one for one in _rows(lake, feed, [session]) if one.row["bar_id"] == bar_id]
            if found:
                return min(found, key=lambda one: not one.row["is_blocking"])
    msg = f"no bar {bar_id!r} is listed in {', '.join(feeds)}: `trading-platform quarantine list --all` shows them"
    raise QuarantineError(msg)
