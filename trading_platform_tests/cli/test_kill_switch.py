"""`trading-platform kill-switch` without Dagster: what it says and how it ends."""

from __future__ import annotations

import getpass

from trading_platform_tests.cli.command import AS_OF, Home, closed_port

IN_THE_PAST = ("--as-of", AS_OF)


def test_on_status_off(home: Home) -> None:
    assert "the kill switch is off" in home.call("kill-switch", "status", *IN_THE_PAST).text
    on = home.call("kill-switch", "on", "--reason", "prices look wrong", *IN_THE_PAST)
    assert on.status == 0, on.text
    assert "open orders cancelled and confirmed: 0" in on.text
    status = home.call("kill-switch", "status", *IN_THE_PAST)
    assert "paper account DU20130228: the kill switch is ON" in status.text
    assert f"by {getpass.getuser()}@" in status.text
    assert status.text.endswith("prices look wrong")
    silent = home.call("kill-switch", "off", *IN_THE_PAST)
    assert silent.status == 2
    assert "Missing option '--reason'" in silent.text
    blank = home.call("kill-switch", "off", "--reason", " ", *IN_THE_PAST)
    assert blank.status == 1
    assert "needs a reason" in blank.text
    off = home.call("kill-switch", "off", "--reason", "the feed is back", *IN_THE_PAST)
    assert off.status == 0
    assert "cleared 1 halts of DU20130228" in off.text
    assert home.processes_in_the_end() == []


def test_without_a_broker_the_halt_stands_and_the_status_is_not_zero(home: Home) -> None:
    broker = {"IBKR_PORT": str(closed_port()), "IBKR_ACCOUNT": "DU77"}
    on = home.call("kill-switch", "on", **broker)
    assert on.status == 1
    assert "halted DU77 since" in on.text
    assert "open orders were NOT cancelled" in on.text
    assert "NOT completely on" in on.text
    assert "is ON" in home.call("kill-switch", "status", **broker).text


def test_without_postgresql_it_still_cancels_at_the_broker_and_says_what_is_missing(home: Home) -> None:
    gone = f"postgresql+psycopg2://nobody@127.0.0.1:{closed_port()}/ledger"
    on = home.call("kill-switch", "on", *IN_THE_PAST, LEDGER_DATABASE_URL=gone)
    assert on.status == 1
    assert "NOT halted" in on.text
    assert "open orders were NOT cancelled" not in on.text
    assert "does not answer" in on.text
