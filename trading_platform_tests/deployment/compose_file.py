"""docker-compose.yml and .env.example as data, and its services' commands as processes of this machine."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE_FILE = REPOSITORY / "docker-compose.yml"
ENV_EXAMPLE = REPOSITORY / ".env.example"
DEPLOY = REPOSITORY / "deploy"

SECRETS = (
    "POSTGRES_PASSWORD",
    "DAGSTER_DATABASE_PASSWORD",
    "MLFLOW_DATABASE_PASSWORD",
    "LEDGER_DATABASE_PASSWORD",
    "S3_ACCESS_KEY_ID",
    "S3_SECRET_ACCESS_KEY",
)
OUR_IMAGE = "trading-platform:local"
_NAME = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*))")
_OPERATOR = re.compile(r":?[-?+]")
_ASSIGNMENT = re.compile(r"^(#?)([A-Z][A-Z0-9_]*)=(.*)$")


class MissingVariableError(Exception):
    """A variable that compose requires is unset or empty."""


def interpolate(text: str, env: Mapping[str, str]) -> str:
    """``text`` with compose's ``${NAME}``, ``:-``, ``:+``, ``:?`` and ``$$`` resolved; defaults may nest."""
    result, position = "", 0
    while (found := _NAME.search(text, position)) is not None:
        result += text[position : found.start()]
        if found.group(1) is None:
            result, position = result + "$", found.end()
            continue
        end = _closing_brace(text, found.end())
        result += _resolved(found.group(1), text[found.end() : end], env)
        position = end + 1
    return result + text[position:]


def compose(env: Mapping[str, str]) -> dict[str, Any]:
    """The compose file with ``env`` filled in.

    Raises:
        MissingVariableError: compose would refuse it.
    """
    return dict(_filled(yaml.safe_load(COMPOSE_FILE.read_text()), env))


def env_example() -> tuple[dict[str, str], dict[str, str]]:
    """What .env.example sets, and what it shows commented out."""
    active: dict[str, str] = {}
    shown: dict[str, str] = {}
    for line in ENV_EXAMPLE.read_text().splitlines():
        if (assignment := _ASSIGNMENT.match(line)) is not None:
            (shown if assignment.group(1) else active)[assignment.group(2)] = assignment.group(3)
    return active, shown


def complete_env() -> dict[str, str]:
    """.env.example with every secret filled in, each with a text of its own."""
    return {**env_example()[0], **{name: f"{name.lower().replace('_', '')}x1" for name in SECRETS}}


def all_variables() -> set[str]:
    """Every variable that the compose file mentions."""
    return set(re.findall(r"(?<!\$)\$\{([A-Z][A-Z0-9_]*)", COMPOSE_FILE.read_text()))


def replaced(command: Sequence[str], replacements: Mapping[str, object]) -> list[str]:
    """``command`` with whole words and parts of words replaced: what is different on this machine."""
    words = list(command)
    for old, new in replacements.items():
        words = [word.replace(old, str(new)) for word in words]
    return words


def process_environment(values: Mapping[str, object]) -> dict[str, str]:
    """This process's environment without the platform's configuration, with this Python's programs, and ``values``."""
    ours = ("TRADING_PLATFORM_", "DAGSTER_", "MLFLOW_", "AWS_", "PG", "POSTGRES_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {name: str(value) for name, value in values.items()}


def _filled(node: Any, env: Mapping[str, str]) -> Any:
    if isinstance(node, str):
        return interpolate(node, env)
    if isinstance(node, dict):
        return {key: _filled(value, env) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, env) for value in node]
    return node


def _resolved(name: str, rest: str, env: Mapping[str, str]) -> str:
    value = env.get(name, "")
    if not rest:
        return value
    operator = _OPERATOR.match(rest)
    assert operator is not None, f"${{{name}{rest}}} is not understood"
    assert operator.group().startswith(":"), f"${{{name}{rest}}}: an empty value has to count as unset"
    alternative = rest[operator.end() :]
    if operator.group() == ":?" and not value:
        msg = f"required variable {name} is missing a value: {alternative}"
        raise MissingVariableError(msg)
    if operator.group() == ":+":
        return interpolate(alternative, env) if value else ""
    return value if value or operator.group() == ":?" else interpolate(alternative, env)


def _closing_brace(text: str, position: int) -> int:
    depth = 1
    while depth:
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        position += 1
    return position - 1
