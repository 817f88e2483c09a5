"""The one .env.example: every setting that a server needs, no secret, nothing that disturbs a laptop."""

from __future__ import annotations

import re

from trading_platform.settings import ENV_PREFIX, Settings
from trading_platform_tests.deployment.compose_file import COMPOSE_FILE, ENV_EXAMPLE, SECRETS, env_example

NOT_A_SERVERS = {"clock_offset_seconds", "as_of_session"}
"""Set by ``--as-of`` for the processes that it starts, never by a person."""


def names_of_settings() -> set[str]:
    return {f"{ENV_PREFIX}{field.upper()}" for field in Settings.model_fields if field not in NOT_A_SERVERS}


def test_every_setting_of_a_server_is_documented_and_nothing_else_is() -> None:
    active, shown = env_example()
    documented = {name for name in active.keys() | shown.keys() if name.startswith(ENV_PREFIX)}
    assert documented == names_of_settings()


def test_the_compose_file_uses_only_settings_that_exist() -> None:
    used = set(re.findall(rf"{ENV_PREFIX}[A-Z0-9_]+", COMPOSE_FILE.read_text()))
    assert used <= names_of_settings()
    assert names_of_settings() - used == {f"{ENV_PREFIX}HOME"}, "the image sets it"


def test_secrets_are_empty() -> None:
    active, _ = env_example()
    assert {name: active[name] for name in (*SECRETS, "TWS_USERID", "TWS_PASSWORD")} == dict.fromkeys(
        (*SECRETS, "TWS_USERID", "TWS_PASSWORD"), ""
    )


def test_copied_unchanged_it_leaves_a_laptop_as_it_was(monkeypatch: object) -> None:
    changed = Settings(_env_file=str(ENV_EXAMPLE)).model_dump()  # type: ignore[call-arg]  # pydantic-settings' own
    plain = Settings(_env_file=None).model_dump()  # type: ignore[call-arg]
    assert {name for name in plain if plain[name] != changed[name]} <= {"ibkr_account"}


def test_every_shown_default_is_the_settings_own_or_the_servers() -> None:
    _, shown = env_example()
    compose_defaults = dict(re.findall(r"\$\{([A-Z0-9_]+):-([^${}]*)\}", COMPOSE_FILE.read_text()))
    for name, value in shown.items():
        if name in compose_defaults and value:
            assert value == compose_defaults[name], name
