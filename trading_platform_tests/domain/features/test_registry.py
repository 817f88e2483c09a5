"""Features are found by name, and a wrong name is told what would be right."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trading_platform.domain.features.compute import warm_up
from trading_platform.domain.features.registry import UnknownFeatureError, indicator, indicators, parse


def test_a_name_is_an_indicator_and_its_periods() -> None:
    feature = parse("macd_signal_12_26_9")
    assert (feature.indicator.name, feature.parameters, feature.cross_section) == ("macd_signal", (12, 26, 9), "")
    ranked = parse("rank_return_63")
    assert (ranked.indicator.name, ranked.parameters, ranked.cross_section) == ("return", (63,), "rank_")
    assert ranked.units == "rank across symbols, 0 to 1"
    scored = parse("cs_zscore_volume_ratio_20")
    assert (scored.indicator.name, scored.cross_section) == ("volume_ratio", "cs_zscore_")


def test_a_name_may_end_with_the_symbol_that_others_are_held_against() -> None:
    feature = parse("beta_60_BRK.B")
    assert (feature.indicator.name, feature.parameters, feature.reference) == ("beta", (60,), "BRK.B")
    assert parse("rank_correlation_20_SPY").reference == "SPY"
    assert parse("sma_20").reference is None


USUAL = (
    "return_63 sma_20 ema_12 rsi_14 atr_14 volatility_20 zscore_20 macd_12_26_9 macd_signal_12_26_9 "
    "macd_histogram_12_26_9 bollinger_upper_20_2 bollinger_lower_20_2 vwap_distance volume_ratio_20"
)


@pytest.mark.parametrize("name", USUAL.split())
def test_the_usual_features_are_there(name: str) -> None:
    assert parse(name).name == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smaa_20", r"no feature 'smaa_20' \(did you mean sma_20\?\)"),
        ("SMA_20", r"did you mean sma_20"),
        ("moon_phase", r"no feature 'moon_phase': use one of adx_14, "),
        ("beta_60", r"needs a reference symbol; write beta_<period>_<SYMBOL>, e.g. beta_60_SPY"),
        ("sma_20_SPY", r"takes no reference symbol; write sma_<period>, e.g. sma_20"),
        ("sma", r"has 0 number\(s\) in its name; write sma_<period>, e.g. sma_20"),
        ("macd_12_26", r"has 2 number\(s\) in its name; write macd_<fast>_<slow>_<signal>"),
        ("return_0", r"period must be at least 1"),
        ("rsi_1", r"period must be at least 2"),
        ("", r"no feature ''"),
    ],
)
def test_a_wrong_name_is_told_what_would_be_right(name: str, message: str) -> None:
    with pytest.raises(UnknownFeatureError, match=message):
        parse(name)


def test_the_warm_up_of_several_features_is_the_longest() -> None:
    assert warm_up(["sma_20", "return_63", "rank_return_70"]) == 71
    assert warm_up([]) == 1


def test_an_exponential_average_warms_up_until_what_it_leaves_out_weighs_less_than_a_hundred_thousandth() -> None:
    warm = warm_up(["ema_26"])
    assert (1 - 2 / 27) ** warm <= 1e-5 < (1 - 2 / 27) ** (warm - 1)
    assert warm_up(["rsi_14"]) == warm_up(["atr_14"]) == 157


@pytest.mark.parametrize("entry", indicators().values(), ids=lambda entry: entry.name)
def test_every_indicator_says_what_it_is_and_in_which_units(entry: object) -> None:
    found = parse(entry.example_name).indicator  # type: ignore[attr-defined] # ids need the bare object
    assert found is entry
    assert found.units
    assert found.summary.endswith(".") or found.summary.endswith(":")


def test_an_indicator_can_not_be_registered_twice_or_with_too_few_examples() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        indicator("sma", units="price", warm_up=lambda: 1)(lambda bars: bars.close)
    with pytest.raises(ValueError, match="1 parameter\\(s\\) but 0 example"):
        indicator("new", units="price", parameters=("period",), warm_up=lambda period: period)(lambda bars: bars.close)


def test_the_registry_is_light_to_import() -> None:
    code = (
        "import sys, trading_platform.domain.features.registry;"
        "sys.exit(bool({'pandas', 'numpy', 'talib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
