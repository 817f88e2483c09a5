"""`trading-platform quarantine`: what is set aside or held is listed, and a person's word is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from trading_platform.cli import main
from trading_platform.settings import ENV_PREFIX, get_settings
from trading_platform.storage.bar_decisions import BarDecisions
from trading_platform.storage.lake import Lake
from trading_platform_tests.domain.market_data.validation.builders import changed, outcome, quiet_bars, scaled

SESSION = "2012-07-17"
BARS = quiet_bars()


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake with one session of the feed ``daily`` whose bars are bad in three ways."""
    monkeypatch.setenv(f"{ENV_PREFIX}HOME", str(tmp_path / "home"))
    monkeypatch.setenv(f"{ENV_PREFIX}LAKE_URL", str(tmp_path / "lake"))
    get_settings.cache_clear()
    made = Lake(str(tmp_path / "lake"))
    bars = pd.concat(
        [
            changed(BARS, 30, low=10.0),
            changed(BARS, 30, high=1.0).assign(symbol="IBM"),
            scaled(BARS, slice(30, 60), 1.7).assign(symbol="FB"),
            changed(BARS, 30, volume=0.0).assign(symbol="GOOG"),
        ],
        ignore_index=True,
    )
    log = outcome(bars).log
    made.write_sessions(("market_data", "daily_quarantined_bars"), log, [SESSION])
    yield made
    get_settings.cache_clear()


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["quarantine", *arguments])
    return result.exit_code, result.output


def id_of(lake: Lake, symbol: str) -> str:
    log = lake.read_sessions(("market_data", "daily_quarantined_bars"), [SESSION])
    return str(log.set_index("symbol").loc[symbol, "bar_id"])


def test_what_is_set_aside_or_held_is_listed_and_warnings_when_asked_for(lake: Lake) -> None:
    status, text = call("list")
    assert status == 0
    assert f"{id_of(lake, 'AAPL')}  daily {SESSION} AAPL 00:00Z  quarantined, blocks orders: bad_print: low 10" in text
    assert "FB 00:00Z  held, blocks orders: unexplained_jump" in text
    assert "GOOG" not in text
    assert "3 bars" in text
    assert "GOOG 00:00Z  warned: zero_volume" in call("list", "--all")[1]
    assert "no bars are set aside" in call("list", "--session", "2012-07-18")[1]
    assert "no bars are set aside" in call("list", "--feed", "tsla")[1]


def test_a_release_is_kept_with_who_and_why_and_shown(lake: Lake) -> None:
    status, text = call("release", id_of(lake, "AAPL"), "--reason", "real trade", "--by", "ann")
    assert status == 0, text
    assert "next materialized for 2012-07-17" in text
    (decision,) = BarDecisions(lake).of("daily", [SESSION])
    assert (decision.verdict, decision.who, decision.why, decision.symbol) == ("released", "ann", "real trade", "AAPL")
    assert "released by ann" in call("list")[1]


def test_without_a_name_the_user_is_named(lake: Lake) -> None:
    assert call("confirm", id_of(lake, "FB"), "--reason", "wrong")[0] == 0
    (decision,) = BarDecisions(lake).of("daily", [SESSION])
    assert "@" in decision.who
    assert (decision.verdict, decision.reason) == ("confirmed", "unexplained_jump")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("release", "IBM", "--reason", "x"), "can't be released: high_below_low is no bar"),
        (("release", "nonsense", "--reason", "x"), "no bar 'nonsense' is listed"),
        (("confirm", "AAPL", "--reason", "x", "--feed", "dayly"), "there is no feed 'dayly'"),
        (("confirm", "AAPL"), "Missing option '--reason'"),
    ],
)
def test_what_can_not_be_decided_is_refused_in_words(lake: Lake, arguments: tuple[str, ...], message: str) -> None:
    known = {"AAPL", "IBM"}
    status, text = call(*[id_of(lake, one) if one in known else one for one in arguments])
    assert status != 0
    assert message in text
    assert BarDecisions(lake).of("daily", [SESSION]) == []
