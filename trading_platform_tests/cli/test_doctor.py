"""`trading-platform doctor`: one line per part, and one broken part hides no other."""

from __future__ import annotations

from trading_platform_tests.cli.command import Done, Home, closed_port

PARTS = (
    "Python",
    "settings",
    "strategies",
    "home",
    "paper gateway",
    "PostgreSQL",
    "ledger",
    "MLflow",
    "Dagster",
    "lake",
    "broker",
    "market data",
    "code location",
)


def marks(done: Done) -> dict[str, str]:
    """Each part's mark."""
    lines = done.out.splitlines()
    return {part: line[0] for part in PARTS for line in lines if line[2:].startswith(f"{part} ")}


def test_a_healthy_platform_is_healthy_in_every_part(home: Home) -> None:
    done = home.call("doctor")
    assert done.status == 0, done.text
    assert marks(done) == dict.fromkeys(PARTS, "✓")
    assert "AAPL, FB, GOOG, IBM, MSFT: real daily bars" in done.text
    assert "paper account DU1000000" in done.text
    assert not (home.state / "worlds" / "now" / "lake" / "doctor").exists()
    assert home.processes_in_the_end() == []


def test_a_broken_broker_and_a_broken_database_hide_nothing_else(home: Home) -> None:
    broker, database = closed_port(), closed_port()
    done = home.call(
        "doctor", IBKR_PORT=str(broker), LEDGER_DATABASE_URL=f"postgresql://me:secret@127.0.0.1:{database}/ledger"
    )
    assert done.status == 1
    sick = {"ledger": "✗", "broker": "✗", "market data": "–"}
    assert marks(done) == {**dict.fromkeys(PARTS, "✓"), **sick}
    assert f"nothing answers at 127.0.0.1:{broker}" in done.text
    assert f"PostgreSQL at 127.0.0.1:{database}/ledger does not answer" in done.text
    assert "TRADING_PLATFORM_LEDGER_DATABASE_URL" in done.text
    assert "secret" not in done.text
    assert "2 failed, 1 not checked, 10 healthy" in done.text
