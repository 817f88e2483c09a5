"""The vendor's second thoughts about finished bars are reported."""

from __future__ import annotations

from trading_platform_tests.domain.market_data.validation.builders import changed, findings, outcome, quiet_bars, scaled

BARS = quiet_bars()
STORED = BARS.assign(is_final=True)
OTHER = BARS["close"][30] * 1.002


def test_the_same_again_is_no_revision():
    assert outcome(BARS, stored=STORED).log.empty
    assert outcome(changed(BARS, 30, close=BARS["close"][30] * 1.00001), stored=STORED).log.empty


def test_a_changed_value_is_told_with_the_old_and_the_new():
    result = outcome(changed(BARS, 30, close=OTHER, volume=7.0), stored=STORED)
    assert findings(result) == [("warned", "vendor_revision", BARS["session"][30])]
    assert f"→ {OTHER:.10g}" in result.log["detail"][0]
    assert "volume 1030 → 7" in result.log["detail"][0]
    assert result.valid["close"][30] == OTHER


def test_a_bar_that_was_not_finished_may_change():
    unfinished = STORED.assign(is_final=STORED.index != 30)
    assert outcome(changed(BARS, 30, close=OTHER), stored=unfinished).log.empty


def test_a_rewritten_history_is_told_in_one_line_with_its_factor():
    result = outcome(scaled(BARS, slice(0, 60), 0.5), stored=STORED)
    assert findings(result) == [("warned", "vendor_revision", BARS["session"][0])]
    assert result.log["detail"][0] == "60 stored bars were changed; the closes by a factor of 0.5 (median)"


def test_stored_bars_of_other_symbols_and_times_do_not_matter():
    others = STORED.assign(symbol="IBM")
    assert outcome(BARS, stored=others).log.empty
    later = BARS.iloc[30:].reset_index(drop=True)
    overlapping = outcome(later, stored=STORED.iloc[:40].assign(volume=1.0))
    assert overlapping.log["session"].tolist() == BARS["session"][30:40].tolist()
