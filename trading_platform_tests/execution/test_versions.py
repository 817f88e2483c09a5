"""An order's signals have a name that leads to the run that made them, and changes with their values."""

from __future__ import annotations

import pandas as pd
import pytest

from trading_platform.execution.versions import SignalVersion, signal_version


def signals(**changes: object) -> pd.DataFrame:
    row = {"symbol": "TSLA", "tick_utc": pd.Timestamp("2013-02-28T20:45Z"), "target_weight": 0.1, "price": 35.17}
    return pd.DataFrame([row | changes, row | {"symbol": "IBM"}])


@pytest.mark.parametrize("run_id", ["5d3f3b3a-1", None])
def test_a_version_is_read_back_as_it_was_written(run_id):
    version = signal_version(run_id, signals())
    assert SignalVersion.parse(str(version)) == version
    assert version.run_id == run_id


def test_the_digest_depends_on_every_value_and_not_on_the_order_of_rows():
    digest = signal_version("r", signals()).digest
    assert signal_version("r", signals().iloc[::-1]).digest == digest
    assert signal_version("other", signals()).digest == digest
    assert signal_version("r", signals(price=35.170000000000002)).digest == digest
    for changes in ({"price": 35.18}, {"target_weight": 0.1 + 1e-16 * 8}, {"symbol": "GE"}):
        assert signal_version("r", signals(**changes)).digest != digest


@pytest.mark.parametrize("text", ["", "abc", "#abc", "run#"])
def test_what_is_no_version_is_refused(text):
    with pytest.raises(ValueError, match="no signal version"):
        SignalVersion.parse(text)
