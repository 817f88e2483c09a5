from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from trading_platform.domain.orders.guards import BACKFILL_TAG, SubmissionAttempt, refusals
from trading_platform_tests.domain.orders.builders import NOW, SESSION, quote


def attempt(**changes: Any) -> SubmissionAttempt:
    fields: dict[str, Any] = {
        "strategy": "tsla",
        "run_tags": {"dagster/schedule_name": "tsla"},
        "partition_keys": ["2013-02-28"],
        "current_session": SESSION,
        "now": NOW,
        "symbols": ["TSLA"],
        "quotes": {"TSLA": quote()},
        "max_price_age": timedelta(seconds=120),
        "halts": (),
        "mode": "paper",
        "account": "DU1000000",
    }
    return SubmissionAttempt(**(fields | changes))


def test_a_run_of_the_current_session_on_paper_may_go_on() -> None:
    assert refusals(attempt()) == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"run_tags": {BACKFILL_TAG: "abcd"}}, "backfill abcd: backfills place no orders"),
        (
            {
                "run_tags": {
                    "dagster/asset_partition_range_start": "2013-02-27",
                    "dagster/asset_partition_range_end": "2013-02-28",
                }
            },
            "sessions 2013-02-27 to 2013-02-28",
        ),
        ({"partition_keys": ["2013-02-27", "2013-02-28"]}, "covers 2 sessions"),
        ({"partition_keys": []}, "covers 0 sessions"),
        ({"partition_keys": ["2013-02-27"]}, "session 2013-02-27 is not the current one, 2013-02-28"),
        ({"current_session": date(2013, 3, 1)}, "session 2013-02-28 is not the current one"),
        ({"current_session": None}, "the market is closed at 2013-02-28 20:45 UTC"),
        ({"quotes": {}}, "no fresh price: no quote of TSLA"),
        ({"quotes": {"TSLA": quote(age=timedelta(seconds=121))}}, "121 s old, limit 120 s"),
        ({"quotes": {"TSLA": quote(age=timedelta(seconds=-9))}}, "9 s in the future"),
        ({"quotes": {"TSLA": quote(is_delayed=True)}}, "delayed by the exchange"),
        ({"halts": None}, "halts could not be read"),
        ({"is_read_only": True}, "TRADING_PLATFORM_READ_ONLY"),
        ({"account": ""}, "named no account"),
        ({"account": "U1234567"}, "U1234567 is a live account and the mode is paper"),
        ({"configured_account": "DU2"}, "TRADING_PLATFORM_IBKR_ACCOUNT names DU2"),
        ({"mode": "live"}, "is a paper account and the mode is live"),
        ({"mode": "live", "account": "U1"}, "needs TRADING_PLATFORM_IBKR_ACCOUNT=U1"),
        ({"mode": "live", "account": "U1", "configured_account": "U2"}, "names U2"),
        (
            {"mode": "live", "account": "U1", "configured_account": "U1"},
            "TRADING_PLATFORM_LIVE_CONFIRMATION to say: I trade real money in U1",
        ),
        (
            {"mode": "live", "account": "U1", "configured_account": "U1", "live_confirmation": "real money"},
            "to say: I trade real money in U1",
        ),
    ],
)
def test_each_objection_is_one_sentence_that_names_its_cause(changes: dict[str, Any], says: str) -> None:
    reasons = refusals(attempt(**changes))
    assert len(reasons) == 1
    assert says in reasons[0]


def test_all_objections_are_told_at_once() -> None:
    reasons = refusals(attempt(run_tags={BACKFILL_TAG: "abcd"}, partition_keys=["2012-01-03"], account="U1"))
    assert len(reasons) == 3


def test_live_trades_with_the_setting_the_very_account_it_names_and_the_typed_confirmation() -> None:
    confirmed = {"configured_account": "U1", "live_confirmation": "I trade real money in U1"}
    assert refusals(attempt(mode="live", account="U1", **confirmed)) == ()


def test_one_fresh_price_of_several_is_enough_since_risk_judges_single_symbols() -> None:
    quotes = {"TSLA": quote(), "IWM": quote("IWM", age=timedelta(hours=1))}
    assert refusals(attempt(symbols=["TSLA", "IWM"], quotes=quotes)) == ()


def test_a_run_without_orders_needs_no_price() -> None:
    assert refusals(attempt(symbols=[], quotes={})) == ()


def test_a_range_of_one_session_is_one_session() -> None:
    tags = dict.fromkeys(("dagster/asset_partition_range_start", "dagster/asset_partition_range_end"), "2013-02-28")
    assert refusals(attempt(run_tags=tags)) == ()
