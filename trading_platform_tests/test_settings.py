"""Settings: what the environment may say, what it may not, and what is derived from it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from trading_platform.clock import SystemClock
from trading_platform.settings import ENV_PREFIX, Settings, get_settings

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    import os

    for name in list(os.environ):
        if name.startswith(ENV_PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def configured(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(ENV_PREFIX + name.upper(), value)
    return Settings()


def test_without_configuration_everything_is_paper_local_and_stopped():
    settings = Settings()
    assert (settings.mode, settings.read_only, settings.schedules_running) == ("paper", False, False)
    assert settings.ibkr_host == "127.0.0.1"
    assert settings.ibkr_port is None
    assert settings.ledger_database_url is None
    assert settings.home == Path(".trading_platform")


def test_every_field_is_read_from_a_variable_of_its_name(monkeypatch):
    settings = configured(
        monkeypatch,
        ibkr_port="4001",
        ibkr_account="U1",
        mode="live",
        read_only="true",
        ledger_database_url="postgresql+psycopg2://me:word@host/ledger",
    )
    assert (settings.ibkr_port, settings.ibkr_account, settings.mode, settings.read_only) == (4001, "U1", "live", True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("mode", "real"), ("ibkr_port", "abc"), ("ibkr_client_id", "0"), ("ibkr_request_timeout_seconds", "-1")],
)
def test_a_senseless_value_is_refused_and_its_field_named(monkeypatch, name, value):
    with pytest.raises(ValidationError, match=name):
        configured(monkeypatch, **{name: value})


def test_an_empty_variable_is_an_unset_one(monkeypatch):
    """Compose files pass empty strings for what is not set."""
    settings = configured(monkeypatch, ibkr_port="", ledger_database_url="", lake_url="", symbols="")
    assert settings.ibkr_port is None
    assert settings.ledger_database_url is None
    assert settings.symbols is None


@pytest.mark.parametrize(
    ("text", "symbols"),
    [("AAPL,IBM", ("AAPL", "IBM")), (" aapl , ibm ,", ("AAPL", "IBM")), ("BTC", ("BTC",)), (" , ", None)],
)
def test_symbols_are_comma_separated_and_upper_case(monkeypatch, text, symbols):
    assert configured(monkeypatch, symbols=text).symbols == symbols


def test_a_file_in_the_working_directory_is_read_and_the_environment_wins(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("TRADING_PLATFORM_IBKR_PORT=7497\nTRADING_PLATFORM_IBKR_HOST=tws\nOTHER=1\n")
    settings = configured(monkeypatch, ibkr_port="4002")
    assert (settings.ibkr_port, settings.ibkr_host) == (4002, "tws")


def test_secrets_are_not_shown(monkeypatch):
    settings = configured(
        monkeypatch,
        ledger_database_url="postgresql+psycopg2://me:hidden@host/ledger",
        mlflow_tracking_uri="postgresql+psycopg2://me:hidden@host/mlflow",
        dagster_database_url="postgresql+psycopg2://me:hidden@host/dagster",
    )
    assert "hidden" not in repr(settings)
    assert "hidden" not in settings.model_dump_json()


def test_settings_do_not_change_after_they_were_read():
    with pytest.raises(ValidationError):
        Settings().mode = "live"


def test_settings_are_read_once_per_process(monkeypatch):
    first = get_settings()
    monkeypatch.setenv(ENV_PREFIX + "READ_ONLY", "true")
    assert get_settings() is first
    get_settings.cache_clear()
    assert get_settings().read_only


def test_a_past_session_is_a_world_of_its_own(tmp_path):
    now = Settings(home=tmp_path)
    past = Settings(home=tmp_path, as_of_session="2013-02-28")
    assert now.world == tmp_path / "worlds" / "now"
    assert past.world == tmp_path / "worlds" / "as-of-2013-02-28"
    assert now.lake != past.lake
    assert now.mlflow_artifacts == past.mlflow_artifacts


def test_the_lake_is_below_the_home_unless_it_is_named(tmp_path):
    assert Settings(home=tmp_path).lake == str(tmp_path / "worlds" / "now" / "lake")
    assert Settings(home=tmp_path, lake_url="s3://bucket/lake").lake == "s3://bucket/lake"


def test_the_clock_carries_the_offset():
    moved = Settings(clock_offset_seconds=-3600.0)
    apart = SystemClock().now() - moved.clock.now()
    assert abs(apart - timedelta(hours=1)) < timedelta(seconds=5)


def test_every_field_says_what_it_is_for_or_is_plain():
    plain = {"ibkr_host", "ibkr_connect_timeout_seconds", "ibkr_request_timeout_seconds"}
    unexplained = {name for name, field in Settings.model_fields.items() if not field.description}
    assert unexplained <= plain


def test_the_example_file_names_only_variables_that_exist():
    example = REPOSITORY / ".env.example"
    if not example.exists():
        pytest.skip("no .env.example in this checkout")
    names = [
        line.lstrip("# ").split("=")[0] for line in example.read_text().splitlines() if ENV_PREFIX in line.split("=")[0]
    ]
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    assert {name for name in names if name.startswith(ENV_PREFIX)} <= known


def test_the_live_confirmation_is_the_sentence_or_a_file_with_it(tmp_path: Path) -> None:
    sentence = "I trade real money in U1"
    file = tmp_path / "confirmation"
    file.write_text(f"{sentence}\n")
    assert Settings(_env_file=None).live_confirmation is None
    assert Settings(_env_file=None, live_confirmation=sentence).live_confirmation == sentence
    assert Settings(_env_file=None, live_confirmation=str(file)).live_confirmation == sentence
    missing = str(tmp_path / "missing")
    assert Settings(_env_file=None, live_confirmation=missing).live_confirmation == missing, "which confirms nothing"
