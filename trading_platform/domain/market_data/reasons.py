"""The rules that bars are held to: their codes, what each means, how severe it is, and whether it looks ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["quarantine", "hold", "warning", "ignore"]
"""What a judgement leads to.

``quarantine``: the bar is set aside, and its symbol gets no orders in the session. ``hold``: the bar is kept, but its
symbol gets no orders until somebody has decided. ``warning``: the bar is kept and reported. ``ignore``: not judged.
"""

Kind = Literal["structure", "judgement", "repair"]
"""``structure``: the row can't be a bar of the feed, and no configuration makes it one. ``judgement``: it can be one,
but should not be believed unseen; severity and thresholds are configuration. ``repair``: what is wrong has only one
right answer, which is given and recorded."""


@dataclass(frozen=True)
class Rule:
    """One rule. ``at_tick`` says what it does in a session that is still running, where nothing later is known."""

    code: str
    kind: Kind
    meaning: str
    needs_later_bars: bool = False
    at_tick: str = "the same"


RULES: tuple[Rule, ...] = (
    Rule("missing_symbol", "structure", "the row names no symbol"),
    Rule("missing_timestamp", "structure", "the row has no timestamp"),
    Rule("missing_price", "structure", "open, high, low or close is null"),
    Rule("non_finite_price", "structure", "open, high, low or close is infinite"),
    Rule("non_positive_price", "structure", "open, high, low or close is zero or negative"),
    Rule("price_out_of_range", "structure", "open, high, low or close is 1e9 or more"),
    Rule("high_below_low", "structure", "the high is below the low"),
    Rule("high_below_open_or_close", "structure", "the high is below the open or the close"),
    Rule("low_above_open_or_close", "structure", "the low is above the open or the close"),
    Rule("missing_volume", "structure", "the volume is null"),
    Rule("non_finite_volume", "structure", "the volume is infinite"),
    Rule("negative_volume", "structure", "the volume is negative"),
    Rule("volume_out_of_range", "structure", "the volume is 1e15 or more"),
    Rule("not_a_session", "structure", "the session is no session of the calendar"),
    Rule("not_listed", "structure", "the instrument had no ticker in the session: the bar is somebody else's"),
    Rule(
        "time_zone_shift",
        "structure",
        "the symbol's bars fit its session only if all are moved by the same number of hours",
        needs_later_bars=True,
        at_tick="not tried; bars outside the session are convicted as such",
    ),
    Rule("outside_session", "structure", "the bar does not start within its session"),
    Rule("off_grid", "structure", "the bar starts where no bar of its size starts"),
    Rule("future_bar", "structure", "the bar starts after the moment it was asked for"),
    Rule("conflicting_duplicate", "structure", "rows of the same symbol and time differ in their values"),
    Rule(
        "split_day_mixture",
        "judgement",
        "one bar holds prices from before and from after a split",
    ),
    Rule("excessive_range", "judgement", "high and low of one bar are further apart than the market moves"),
    Rule(
        "bad_print",
        "judgement",
        "a wick that the bar's own open and close and its neighbours leave far behind",
        at_tick="judged by the bar itself and the bar before; the bar after may acquit it once the session is settled",
    ),
    Rule(
        "isolated_bar",
        "judgement",
        "a whole bar far from the bars before and after it, which agree with each other",
        needs_later_bars=True,
        at_tick="not tried; a move beyond `jump_pct` is held by `unexplained_jump`",
    ),
    Rule(
        "scale_error", "judgement", "all prices are ten, a hundred or a thousand times, or that part of, the last ones"
    ),
    Rule("split_like_jump", "judgement", "the price jumps by the ratio of a split that nobody reported"),
    Rule("unexplained_jump", "judgement", "the price jumps further than believed, and no known split explains it"),
    Rule("stale_repeat", "judgement", "prices and volume repeat those of the bar before to the last digit"),
    Rule("zero_volume", "judgement", "nothing was traded in the bar"),
    Rule("long_gap", "judgement", "the symbol was gone for so long that it may be another company's since"),
    Rule(
        "volume_shift",
        "judgement",
        "from this bar on the usual volume is a multiple or a fraction of what it was, as from another feed",
        needs_later_bars=True,
        at_tick="not tried",
    ),
    Rule("vendor_revision", "judgement", "the vendor now says something else about a finished bar than what is stored"),
    Rule("exact_duplicate", "repair", "another row of the same symbol and time with the same values is kept"),
    Rule(
        "end_stamped",
        "repair",
        "the session's bars were stamped with their ends; they were moved to their starts",
        needs_later_bars=True,
        at_tick="not tried",
    ),
    Rule("daily_stamp", "repair", "a daily bar was stamped with its session's open, close or local midnight"),
)
"""In the order in which they are tried: a row is convicted by the first that it breaks."""

REASONS: dict[str, str] = {rule.code: rule.meaning for rule in RULES}
"""Reason codes and what they mean, in the order in which they are tried."""

JUDGEMENTS: tuple[str, ...] = tuple(rule.code for rule in RULES if rule.kind == "judgement")
"""Codes whose severity is configuration."""

RELEASABLE: frozenset[str] = frozenset({*JUDGEMENTS, "conflicting_duplicate"})
"""Codes of bars that a person may release: those that could be right."""
