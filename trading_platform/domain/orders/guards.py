"""Why the ``orders`` asset may not send anything: conditions on the run itself, before any order is looked at.

Each guard is a pure function that returns a sentence, or ``None`` when it has no objection. Risk controls
(``risk/``) judge single orders; guards judge the run. A person can select the asset alone, so both are asked
again at submission.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from trading_platform.domain.orders.model import Quote
from trading_platform.domain.orders.risk.context import Halt, quote_fault

BACKFILL_TAG = "dagster/backfill"
_RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@dataclass(frozen=True)
class SubmissionAttempt:
    """All a guard may look at.

    ``run_tags`` and ``partition_keys`` are the Dagster run's. ``current_session`` is the session that is open
    at ``now`` (tz-aware UTC), ``None`` when the market is closed. ``symbols`` are those about to be ordered
    and ``quotes`` their newest quotes. ``halts`` of ``None`` means that they could not be read.
    ``configured_account`` is the account the settings name, if any; ``account`` the one connected to.
    ``live_confirmation`` is what a person typed to allow trading for real, if anything.
    """

    strategy: str
    run_tags: Mapping[str, str]
    partition_keys: Sequence[str]
    current_session: date | None
    now: datetime
    symbols: Sequence[str]
    quotes: Mapping[str, Quote]
    max_price_age: timedelta
    halts: Sequence[Halt] | None
    mode: Literal["paper", "live"]
    account: str
    configured_account: str | None = None
    is_read_only: bool = False
    live_confirmation: str | None = None


Guard = Callable[[SubmissionAttempt], str | None]


def backfill(attempt: SubmissionAttempt) -> str | None:
    """A backfill recomputes history; it never trades."""
    if BACKFILL_TAG in attempt.run_tags:
        return f"the run belongs to backfill {attempt.run_tags[BACKFILL_TAG]}: backfills place no orders"
    ends = {attempt.run_tags[tag] for tag in _RANGE_TAGS if tag in attempt.run_tags}
    if len(ends) > 1:
        return f"the run covers the sessions {' to '.join(sorted(ends))}: orders are placed for one session only"
    return None


def partition(attempt: SubmissionAttempt) -> str | None:
    """Orders are placed for the session that is running, never for another."""
    if len(attempt.partition_keys) != 1:
        return f"the run covers {len(attempt.partition_keys)} sessions: orders are placed for one session only"
    if attempt.current_session is None:
        return None  # market_closed says so
    session = attempt.partition_keys[0]
    if session != attempt.current_session.isoformat():
        return f"session {session} is not the current one, {attempt.current_session.isoformat()}"
    return None


def market_closed(attempt: SubmissionAttempt) -> str | None:
    """Nothing is sent to a closed market, where it would wait and fill at a price nobody has seen."""
    if attempt.current_session is None:
        return f"the market is closed at {attempt.now:%Y-%m-%d %H:%M} UTC"
    return None


def stale_prices(attempt: SubmissionAttempt) -> str | None:
    """Without one fresh price the feed is dead. Single stale symbols are left to the control FreshPrice."""
    if not attempt.symbols:
        return None
    faults = [
        quote_fault(symbol, attempt.quotes.get(symbol), attempt.now, attempt.max_price_age)
        for symbol in attempt.symbols
    ]
    if all(faults):
        return f"no fresh price: {'; '.join(fault for fault in faults[:3] if fault)}"
    return None


def halts(attempt: SubmissionAttempt) -> str | None:
    """A halt of everything or of this strategy.

    Whether single orders may pass (they reduce a position) is decided by the control NoHalt, so this guard
    objects only when the halts could not be read.
    """
    if attempt.halts is None:
        return "the halts could not be read from the ledger: without them nothing is sent"
    return None


def read_only(attempt: SubmissionAttempt) -> str | None:
    """The setting that refuses every order."""
    if attempt.is_read_only:
        return "the platform is set read-only (TRADING_PLATFORM_READ_ONLY): unset it to trade"
    return None


def account(attempt: SubmissionAttempt) -> str | None:
    """Paper accounts start with ``D``; live needs the setting and the very account it names."""
    connected, configured = attempt.account, attempt.configured_account
    if not connected:
        return "the broker named no account"
    if configured is not None and connected != configured:
        return f"connected to account {connected}, but TRADING_PLATFORM_IBKR_ACCOUNT names {configured}"
    is_paper_account = connected.startswith("D")
    if attempt.mode == "paper" and not is_paper_account:
        return f"account {connected} is a live account and the mode is paper: log in to the paper account"
    if attempt.mode == "live" and is_paper_account:
        return f"account {connected} is a paper account and the mode is live: unset TRADING_PLATFORM_MODE"
    return _unconfirmed(attempt) if attempt.mode == "live" else None


def _unconfirmed(attempt: SubmissionAttempt) -> str | None:
    connected = attempt.account
    if attempt.configured_account is None:
        return f"mode live needs TRADING_PLATFORM_IBKR_ACCOUNT={connected} to be set as a confirmation"
    if attempt.live_confirmation != live_confirmation(connected):
        return f"mode live needs TRADING_PLATFORM_LIVE_CONFIRMATION to say: {live_confirmation(connected)}"
    return None


def live_confirmation(account: str) -> str:
    """The sentence that a person types, word by word, before the platform trades real money in ``account``."""
    return f"I trade real money in {account}"


GUARDS: tuple[Guard, ...] = (backfill, partition, market_closed, read_only, account, halts, stale_prices)


def refusals(attempt: SubmissionAttempt) -> tuple[str, ...]:
    """Every reason not to send anything; empty when the orders may go to their last risk check."""
    return tuple(reason for guard in GUARDS if (reason := guard(attempt)) is not None)
