"""Features under Dagster: a tick gives what a range gives, and a value that knows the future stops the signals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trading_platform.domain.features import registry
from trading_platform.domain.features.arrays import BarArrays, Floats
from trading_platform_tests.defs.conftest import MakeWorld
from trading_platform_tests.world import SESSION, checks_of, failure_of, metadata_of

DAILY = ("features", "daily_features")
SIGNALS = ("signals", "momentum_signals")
INTRADAY = ("features", "tsla_features")
KINDS = ("raw", "validated", "quarantined")
RANGE = ("2013-02-26", "2013-02-28")


@pytest.mark.parametrize(("job", "features"), [("momentum_agent", DAILY), ("tsla_agent", INTRADAY)])
def test_one_session_gives_what_a_range_gives(own_world: MakeWorld, job: str, features: tuple[str, str]) -> None:
    world = own_world()
    bars = ("market_data", features[1].replace("features", "validated_bars"))
    raw = ("market_data", features[1].replace("features", "raw_bars"))
    bad = ("market_data", features[1].replace("features", "quarantined_bars"))
    result = world.run(job, assets=[raw, bars, bad, features])
    assert result.success, failure_of(result)
    check = checks_of(result, *features)["no_lookahead"]
    assert check.passed
    assert check.blocking
    assert check.metadata["values_checked"].value >= 4
    assert metadata_of(result, *features)["warm_rows"] > 0
    alone = world.table(*features)
    alone = alone[alone["session"] == SESSION]
    assert world.run(job, sessions=RANGE, assets=[features]).success
    in_range = world.table(*features)
    in_range = in_range[in_range["session"] == SESSION]
    values = alone.columns[3:]
    np.testing.assert_allclose(in_range[values].to_numpy(), alone[values].to_numpy(), rtol=1e-12)


def test_a_hole_in_the_look_back_is_shown_for_its_symbol_and_stops_nobody(own_world: MakeWorld) -> None:
    world = own_world()
    assert world.run("momentum_agent", assets=[("market_data", f"daily_{kind}_bars") for kind in KINDS]).success
    whole = checks_of(world.run("momentum_agent", assets=[DAILY]), *DAILY)["look_back_complete"]
    assert (whole.passed, whole.metadata["holes"].value) == (True, 0)
    for day in ("2013-02-20", "2013-02-21"):
        bars = world.table("market_data", "daily_validated_bars", session=day)
        world.lake.write_sessions(("market_data", "daily_validated_bars"), bars[bars["symbol"] != "IBM"], [day])
    result = world.run("momentum_agent", assets=[DAILY, SIGNALS])
    assert result.success, failure_of(result)
    check = checks_of(result, *DAILY)["look_back_complete"]
    assert (check.passed, check.severity.value, check.metadata["holes"].value) == (False, "WARN", 2)
    (row,) = check.metadata["by_symbol"].records
    assert row.data == {"symbol": "IBM", "missing": 2, "sessions": 2, "first": "2013-02-20", "last": "2013-02-21"}
    assert "GOOG" in set(world.table(*SIGNALS)["symbol"])


def test_a_feature_that_knows_the_next_bar_stops_the_signals(
    own_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tomorrow(bars: BarArrays, period: int) -> Floats:
        return np.append(bars.close[1:], bars.close[-1])

    world = own_world()
    raw, valid, bad = (("market_data", f"daily_{kind}_bars") for kind in ("raw", "validated", "quarantined"))
    assert world.run("momentum_agent", assets=[raw, valid, bad]).success
    monkeypatch.setitem(
        registry._INDICATORS, "volatility", replace(registry.parse("volatility_20").indicator, compute=tomorrow)
    )
    registry.parse.cache_clear()
    try:
        result = world.run("momentum_agent", sessions=RANGE, assets=[DAILY, SIGNALS])
    finally:
        registry.parse.cache_clear()
    check = checks_of(result, *DAILY)["no_lookahead"]
    assert (check.passed, check.severity.value) == (False, "ERROR")
    assert check.metadata["differing"].records[0].data["feature"] == "volatility_20"
    assert not result.success
    materialized = {event.asset_key.path[1] for event in result.all_events if event.is_step_materialization}
    assert "momentum_signals" not in materialized
