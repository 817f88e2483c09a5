"""The only reader of the environment.

Every variable starts with ``TRADING_PLATFORM_``; a ``.env`` file in the working directory is read too.
Whatever is not set is started or derived by the command line (see ``trading_platform.ops.local``).
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from trading_platform.clock import Clock, SystemClock

ENV_PREFIX = "TRADING_PLATFORM_"


class Settings(BaseSettings):
    """The platform's configuration. Field ``ibkr_port`` is set by ``TRADING_PLATFORM_IBKR_PORT``."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_file=".env", extra="ignore", env_ignore_empty=True, frozen=True
    )

    home: Path = Field(default=Path(".trading_platform"), description="Where local state lives.")
    clock_offset_seconds: float = Field(default=0.0, description="Shift of the platform's clock; set by --as-of.")
    as_of_session: str | None = Field(
        default=None, description="Session an --as-of run plays in; keeps its lake and paper account apart."
    )

    dagster_database_url: SecretStr | None = Field(default=None, description="postgresql+psycopg2://… of Dagster.")
    ledger_database_url: SecretStr | None = Field(default=None, description="postgresql+psycopg2://… of the ledger.")
    mlflow_tracking_uri: SecretStr | None = Field(default=None, description="MLflow server or database.")
    mlflow_ui_url: str | None = Field(default=None, description="Base of links to MLflow's UI.")
    lake_url: str | None = Field(default=None, description="Directory or s3://bucket/prefix of the lake.")
    s3_endpoint_url: str | None = Field(default=None, description="Endpoint of an S3-compatible store.")
    lake_keep_versions_days: int = Field(
        default=30, ge=0, description="For how many days a replaced file of the lake can be put back; 0: not at all."
    )

    schedules_running: bool = Field(default=False, description="Start schedules and sensors; set by `dev`.")

    mode: Literal["paper", "live"] = Field(default="paper", description="Paper unless told otherwise.")
    live_confirmation: str | None = Field(
        default=None, description="With mode live: the sentence `I trade real money in <account>`, or a file with it."
    )
    read_only: bool = Field(default=False, description="Refuse every order.")
    ibkr_host: str = "127.0.0.1"
    ibkr_port: int | None = Field(default=None, description="Unset: the bundled paper gateway is started.")
    ibkr_client_id: int = Field(
        default=10, ge=1, description="First API client id; reads and orders use the next ones."
    )
    ibkr_account: str | None = Field(default=None, description="Account id; unset: the only account offered.")
    ibkr_connect_timeout_seconds: float = Field(default=10.0, gt=0)
    ibkr_request_timeout_seconds: float = Field(default=30.0, gt=0)

    symbols: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        default=None, description="Comma-separated; narrows every universe."
    )
    strategies: Path | None = Field(default=None, description="Directory of strategy specs; unset: the shipped ones.")

    paper_data: Path | None = Field(default=None, description="Directory of Parquet or CSV bars for the paper market.")
    paper_seed: int = Field(default=7, description="Seed of everything the paper market makes up.")

    @field_validator("symbols", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().upper() for part in value.split(",") if part.strip()) or None
        return value

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        return SystemClock(timedelta(seconds=self.clock_offset_seconds))

    @field_validator("live_confirmation")
    @classmethod
    def _read_confirmation(cls, value: str | None) -> str | None:
        """Take the sentence from the file, if it is a file that is named. A missing file confirms nothing."""
        if value is None:
            return None
        file = Path(value)
        return file.read_text().strip() if file.is_file() else value.strip()

    @property
    def lake(self) -> str:
        """Directory or URL of the lake."""
        return self.lake_url or str(self.world / "lake")

    @property
    def mlflow_artifacts(self) -> str:
        """Directory of MLflow's artifacts when its tracking URI is a database."""
        return str(self.home.absolute() / "mlflow" / "artifacts")

    @property
    def world(self) -> Path:
        """The directory of the lake and of the paper account.

        A run ``--as-of`` a past session has a world of its own, so that what it does can neither see nor
        touch the present.
        """
        name = f"as-of-{self.as_of_session}" if self.as_of_session else "now"
        return self.home.absolute() / "worlds" / name


def named_secret(variable: str) -> SecretStr | None:
    """The environment variable (or line of ``.env``) that a file of specs names, for what must not stand in it."""

    class Named(BaseSettings):
        model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True, frozen=True)

        value: SecretStr | None = Field(default=None, validation_alias=variable)

    return Named().value


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
