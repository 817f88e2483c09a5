"""Severities and thresholds: bar size, then security type, then feed; each names only what it changes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from trading_platform.domain.market_data.quality import SEVERITIES, DataQuality, QualityRules
from trading_platform.domain.market_data.reasons import JUDGEMENTS

QUALITY = DataQuality.model_validate(
    {
        "daily": {"wick_pct": 40, "severities": {"zero_volume": "hold"}},
        "security_types": {"CRYPTO": {"intraday": {"wick_pct": 25}, "daily": {"jump_pct": 80}}},
        "feeds": {"btc": {"wick_pct": 30, "severities": {"stale_repeat": "ignore"}}},
    }
)


def test_every_judgement_has_a_severity():
    assert set(SEVERITIES) == set(JUDGEMENTS)


def test_daily_and_shorter_bars_have_their_own_defaults():
    daily, minutes = DataQuality().rules_for("1 day"), DataQuality().rules_for("5 mins")
    assert (daily.wick_pct, minutes.wick_pct) == (50, 10)
    assert (daily.severity("volume_shift"), minutes.severity("volume_shift")) == ("warning", "ignore")


def test_a_section_changes_what_it_names_and_nothing_else():
    rules = QUALITY.rules_for("1 hour", security_type="CRYPTO", feed="btc")
    assert rules.wick_pct == 30
    assert QUALITY.rules_for("1 hour", security_type="CRYPTO", feed="other").wick_pct == 25
    assert QUALITY.rules_for("1 hour").wick_pct == 10
    assert (rules.severity("stale_repeat"), rules.severity("bad_print")) == ("ignore", "quarantine")
    assert rules.severity("volume_shift") == "ignore"
    assert QUALITY.rules_for("1 day").severity("zero_volume") == "hold"
    assert QUALITY.rules_for("1 day", security_type="CRYPTO").jump_pct == 80


def test_structure_is_always_set_aside():
    assert QualityRules().severity("high_below_low") == "quarantine"
    with pytest.raises(ValidationError, match="no rule 'high_below_low' whose severity can be chosen"):
        QualityRules(severities={"high_below_low": "ignore"})


@pytest.mark.parametrize(
    "wrong", [{"wick_pct": 0}, {"gap_sessions": 1}, {"severities": {"bad_print": "off"}}, {"wicks": 3}]
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValidationError):
        QualityRules(**wrong)
