"""Who was behind a ticker, and when. An instrument has an id that stays; its ticker is a fact with dates.

Facebook's shares were ``FB`` from 2012-05-18 on and are ``META`` since 2022-06-09; from 1999 to 2003 ``FB`` was another
company. Pure: where the facts come from (``universe.yaml``, Lean's map files) is not known here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import pairwise


class TickerError(ValueError):
    """The facts contradict each other: nobody could say who is meant. The message names instruments and dates."""


@dataclass(frozen=True)
class TickerSpan:
    """An instrument's ticker from the session ``first`` to ``last``, both included; ``None``: from ever, for good.

    ``exchange`` is where it was listed then, as far as known; it decides nothing.
    """

    ticker: str
    first: date | None = None
    last: date | None = None
    exchange: str = ""

    def __post_init__(self) -> None:
        if not self.ticker:
            msg = "a ticker must not be empty"
            raise TickerError(msg)
        if self.begin > self.end:
            msg = f"{self.ticker} ends on {self.last}, before it begins on {self.first}"
            raise TickerError(msg)

    @property
    def begin(self) -> date:
        """The first session, the earliest of all dates where it is not known."""
        return self.first or date.min

    @property
    def end(self) -> date:
        """The last session, the latest of all dates where there is none yet."""
        return self.last or date.max

    def holds(self, session: date) -> bool:
        """Whether the ticker was the instrument's in the session."""
        return self.begin <= session <= self.end

    def __str__(self) -> str:
        return f"{self.ticker} ({self.first or '…'} to {self.last or 'now'})"


@dataclass(frozen=True)
class TickerFact:
    """``instrument`` had the ticker of ``span``. Within one ``market`` a ticker has one bearer at a time."""

    instrument: str
    span: TickerSpan
    market: str = ""


class TickerMap:
    """Ticker and session to instrument, and back.

    Raises:
        TickerError: two instruments have one ticker in the same session of one market, or one instrument has two.
    """

    def __init__(self, facts: Iterable[TickerFact]) -> None:
        by_instrument: dict[str, list[TickerFact]] = {}
        by_ticker: dict[tuple[str, str], list[TickerFact]] = {}
        for fact in facts:
            by_instrument.setdefault(fact.instrument, []).append(fact)
            by_ticker.setdefault((fact.market, fact.span.ticker), []).append(fact)
        self._by_instrument = {name: _in_order(own) for name, own in by_instrument.items()}
        self._by_ticker = {key: _in_order(own) for key, own in by_ticker.items()}

    @property
    def instruments(self) -> tuple[str, ...]:
        """Ids of all instruments, by name."""
        return tuple(sorted(self._by_instrument))

    def spans_of(self, instrument: str) -> tuple[TickerSpan, ...]:
        """The instrument's tickers, oldest first; empty for one that is not known."""
        return tuple(fact.span for fact in self._by_instrument.get(instrument, ()))

    def ticker_of(self, instrument: str, session: date) -> str | None:
        """The instrument's ticker in the session; ``None`` where it had none."""
        found = _at(self._by_instrument.get(instrument, ()), session)
        return None if found is None else found.span.ticker

    def instrument_of(self, ticker: str, session: date, market: str = "") -> str | None:
        """The id of the instrument that had the ticker in the session; ``None`` where none is known."""
        found = _at(self._by_ticker.get((market, ticker), ()), session)
        return None if found is None else found.instrument


def _in_order(facts: Iterable[TickerFact]) -> tuple[TickerFact, ...]:
    ordered = tuple(sorted(facts, key=lambda fact: fact.span.begin))
    for earlier, later in pairwise(ordered):
        if later.span.begin <= earlier.span.end:
            both = f"{earlier.instrument} as {earlier.span} and {later.instrument} as {later.span}"
            msg = f"{both} overlap: within a market a ticker has one bearer at a time, and an instrument one ticker"
            raise TickerError(msg)
    return ordered


def _at(facts: tuple[TickerFact, ...], session: date) -> TickerFact | None:
    place = bisect_right(facts, session, key=lambda fact: fact.span.begin) - 1
    return facts[place] if place >= 0 and facts[place].span.holds(session) else None
