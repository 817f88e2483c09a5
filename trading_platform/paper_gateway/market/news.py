"""Headlines of the paper market: what a session's bar says, in words. No opinions, nothing invented."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from trading_platform.paper_gateway.market.bridge import DayBar
from trading_platform.paper_gateway.market.listings import Listing
from trading_platform.paper_gateway.model import Headline

PROVIDER = "PAPER"
NEWS_PROVIDERS = {PROVIDER: "Paper market session reports"}
"""Code and name of every provider."""

_SYNTHETIC = "synthetic"
_ARTICLE_ID = re.compile(re.escape(PROVIDER) + r"\$(.+)\.(\d{8})")


def headline_of_session(
    listing: Listing, close_utc: datetime, day: DayBar, earlier: Sequence[DayBar], origin: str
) -> Headline:
    """The headline at a session's close. ``earlier`` are the sessions before it, oldest first, for comparison."""
    symbol, session = listing.symbol, (close_utc - timedelta(minutes=1)).date()
    if earlier:
        change = (day.close / earlier[-1].close - 1) * 100
        move = "closes unchanged" if round(abs(change), 1) == 0 else f"closes {abs(change):.1f} % {_direction(change)}"
    else:
        move = f"closes its first session at {day.close:.10g}"
    usual = sum(bar.volume for bar in earlier) / len(earlier) if earlier else 0.0
    activity = f" on {day.volume / usual:.1f} times its usual volume" if usual > 0 else ""
    label = " (synthetic path)" if origin.startswith(_SYNTHETIC) else ""
    body = (
        f"{session}: open {day.open:.10g}, high {day.high:.10g}, low {day.low:.10g}, close {day.close:.10g}, "
        f"all in {listing.currency}; volume {day.volume:,.0f}. Prices: {origin}."
    )
    return Headline(
        article_id=f"{PROVIDER}${symbol}.{session:%Y%m%d}",
        provider=PROVIDER,
        ts_utc=close_utc,
        text=f"{symbol} {move}{activity}{label}",
        body=body,
    )


def parse_article_id(article_id: str) -> tuple[str, date] | None:
    """Symbol and session of a headline's id; None when it is none of ours."""
    found = _ARTICLE_ID.fullmatch(article_id)
    try:
        return None if found is None else (found[1], datetime.strptime(found[2] + "+0000", "%Y%m%d%z").date())
    except ValueError:
        return None


def _direction(change: float) -> str:
    return "higher" if change > 0 else "lower"
