"""Tickers: who bore one in a session, and what an instrument was called; one bearer at a time."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.tickers import TickerError, TickerFact, TickerMap, TickerSpan

FACEBOOK = (
    TickerFact("facebook", TickerSpan("FB", date(2012, 5, 18), date(2022, 6, 8))),
    TickerFact("facebook", TickerSpan("META", date(2022, 6, 9))),
)
ANOTHER = TickerFact("another", TickerSpan("FB", date(1999, 9, 29), date(2003, 3, 28)))
KNOWN = TickerMap([*FACEBOOK, ANOTHER, TickerFact("always", TickerSpan("IBM"))])
DAY = timedelta(days=1)
DAYS = st.dates(date(2000, 1, 1), date(2003, 12, 31))


@pytest.mark.parametrize(
    ("ticker", "session", "instrument"),
    [
        ("FB", date(1999, 9, 28), None),
        ("FB", date(2001, 9, 10), "another"),
        ("FB", date(2003, 3, 28), "another"),
        ("FB", date(2008, 1, 2), None),
        ("FB", date(2012, 5, 17), None),
        ("FB", date(2012, 5, 18), "facebook"),
        ("FB", date(2022, 6, 8), "facebook"),
        ("FB", date(2022, 6, 9), None),
        ("META", date(2022, 6, 8), None),
        ("META", date(2022, 6, 9), "facebook"),
        ("META", date(2030, 1, 2), "facebook"),
        ("IBM", date(1911, 6, 16), "always"),
        ("NOPE", date(2012, 5, 18), None),
    ],
)
def test_a_ticker_is_whose_it_was_in_the_session(ticker: str, session: date, instrument: str | None) -> None:
    assert KNOWN.instrument_of(ticker, session) == instrument


@pytest.mark.parametrize(
    ("instrument", "session", "ticker"),
    [
        ("facebook", date(2012, 5, 17), None),
        ("facebook", date(2012, 5, 18), "FB"),
        ("facebook", date(2022, 6, 9), "META"),
        ("another", date(2003, 3, 31), None),
        ("always", date(2050, 1, 3), "IBM"),
        ("nobody", date(2012, 5, 18), None),
    ],
)
def test_an_instrument_has_the_ticker_of_the_session(instrument: str, session: date, ticker: str | None) -> None:
    assert KNOWN.ticker_of(instrument, session) == ticker


def test_instruments_and_their_tickers_are_listed_in_order() -> None:
    assert KNOWN.instruments == ("always", "another", "facebook")
    assert [str(span) for span in KNOWN.spans_of("facebook")] == [
        "FB (2012-05-18 to 2022-06-08)",
        "META (2022-06-09 to now)",
    ]
    assert KNOWN.spans_of("nobody") == ()


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        (TickerFact("third", TickerSpan("FB", date(2003, 3, 28))), "another as FB .* and third as FB .* overlap"),
        (TickerFact("third", TickerSpan("IBM", date(2040, 1, 2))), "always as IBM .* and third as IBM .* overlap"),
        (TickerFact("facebook", TickerSpan("FBK", date(2022, 6, 8), date(2022, 6, 8))), "facebook as FB .* FBK"),
    ],
)
def test_two_bearers_at_a_time_are_refused(fact: TickerFact, message: str) -> None:
    with pytest.raises(TickerError, match=message):
        TickerMap([*FACEBOOK, ANOTHER, TickerFact("always", TickerSpan("IBM")), fact])


def test_each_market_has_its_own_tickers() -> None:
    spans = TickerSpan("VOD")
    both = TickerMap([TickerFact("vod.l", spans, "XLON"), TickerFact("vod", spans, "XNYS")])
    assert both.instrument_of("VOD", date(2020, 1, 2), "XLON") == "vod.l"
    assert both.instrument_of("VOD", date(2020, 1, 2), "XNYS") == "vod"
    assert both.instrument_of("VOD", date(2020, 1, 2)) is None


@pytest.mark.parametrize(
    ("span", "message"),
    [(("FB", date(2012, 5, 18), date(2012, 5, 17)), "before it begins"), (("",), "must not be empty")],
)
def test_a_span_that_is_none_is_refused(span: tuple[str], message: str) -> None:
    with pytest.raises(TickerError, match=message):
        TickerSpan(*span)


@st.composite
def histories(draw: st.DrawFn) -> list[TickerFact]:
    """Three instruments that take turns with three tickers, none of them at the same time."""
    edges = sorted(draw(st.sets(DAYS, min_size=2, max_size=8)))
    facts = []
    for begin, following in pairwise(edges):
        order = draw(st.permutations(["A", "B", "C"]))
        last = draw(st.dates(begin, following - DAY))
        facts += [
            TickerFact(instrument, TickerSpan(ticker, begin, last))
            for instrument, ticker in zip(("one", "two", "three"), order, strict=True)
            if draw(st.booleans())
        ]
    return facts


@given(histories(), DAYS)
def test_there_and_back_is_where_one_started(facts: list[TickerFact], session: date) -> None:
    known = TickerMap(facts)
    for instrument in known.instruments:
        ticker = known.ticker_of(instrument, session)
        assert ticker is None or known.instrument_of(ticker, session) == instrument
    for ticker in "ABC":
        found = known.instrument_of(ticker, session)
        assert found is None or known.ticker_of(found, session) == ticker


@given(histories(), DAYS)
def test_the_answer_is_that_of_the_one_fact_that_holds(facts: list[TickerFact], session: date) -> None:
    known = TickerMap(facts)
    for ticker in "ABC":
        bearers = [fact.instrument for fact in facts if fact.span.ticker == ticker and fact.span.holds(session)]
        assert [known.instrument_of(ticker, session)] == (bearers or [None])


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_the_facts_does_not_matter(facts: list[TickerFact], random: object) -> None:
    shuffled = list(facts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' own Random
    one, other = TickerMap(facts), TickerMap(shuffled)
    assert {name: one.spans_of(name) for name in one.instruments} == {
        name: other.spans_of(name) for name in other.instruments
    }


@given(histories().filter(bool), st.data())
def test_a_second_bearer_within_a_span_is_always_refused(facts: list[TickerFact], data: st.DataObject) -> None:
    taken = data.draw(st.sampled_from(facts)).span
    session = data.draw(st.dates(taken.begin, taken.end))
    with pytest.raises(TickerError, match="overlap"):
        TickerMap([*facts, TickerFact("intruder", TickerSpan(taken.ticker, session, session))])
