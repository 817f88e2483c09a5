"""The migration command's refusals. That it migrates is tested as the container's command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trading_platform.ops.migrate import MigrationError, migrate
from trading_platform.settings import Settings

SOMEWHERE = "postgresql+psycopg2://somebody:secret@127.0.0.1:1/somewhere"
COMPLETE = dict.fromkeys(("ledger_database_url", "dagster_database_url", "mlflow_tracking_uri"), SOMEWHERE)


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]  # pydantic-settings' own argument


@pytest.mark.parametrize("name", COMPLETE)
def test_a_database_that_is_not_configured_is_named(name: str) -> None:
    with pytest.raises(MigrationError, match=f"TRADING_PLATFORM_{name.upper()} is not set"):
        migrate(settings(**{**COMPLETE, name: None}), print)


def test_a_tracking_server_is_not_mistaken_for_its_database() -> None:
    with pytest.raises(MigrationError, match="TRADING_PLATFORM_MLFLOW_TRACKING_URI names no database"):
        migrate(settings(**COMPLETE | {"mlflow_tracking_uri": "http://mlflow:5000"}), print)


def test_without_a_dagster_home_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(MigrationError, match=r"set it to the directory that holds dagster\.yaml"):
        migrate(settings(**COMPLETE), print)


def test_a_dagster_database_that_does_not_answer_is_named_without_its_password(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    reports: list[str] = []
    with pytest.raises(MigrationError, match="TRADING_PLATFORM_DAGSTER_DATABASE_URL") as refused:
        migrate(settings(**COMPLETE | {"ledger_database_url": database_url}), reports.append)
    assert "secret" not in str(refused.value)
    assert reports == ["ledger: migrated"]
