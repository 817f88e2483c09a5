"""docker-compose.yml: what it promises, read from the file, and accepted by docker itself where docker is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from trading_platform_tests.deployment.compose_file import (
    COMPOSE_FILE,
    DEPLOY,
    OUR_IMAGE,
    REPOSITORY,
    SECRETS,
    MissingVariableError,
    all_variables,
    complete_env,
    compose,
    env_example,
    process_environment,
)

ONE_SHOT = {"make-bucket", "migrate"}
NEEDED = (*SECRETS, "COMPOSE_PROFILES", "TRADING_PLATFORM_IBKR_ACCOUNT")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(compose(complete_env())["services"])


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_secret_or_choice_is_named(name: str) -> None:
    with pytest.raises(MissingVariableError, match=rf"{name} is missing a value: set {name} in \.env"):
        compose({**complete_env(), name: ""})


def test_nothing_else_has_to_be_set() -> None:
    assert set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+):\?", COMPOSE_FILE.read_text())) == set(NEEDED)


def test_no_secret_has_a_default_and_none_is_written_into_the_file(services: dict[str, Any]) -> None:
    values = {complete_env()[name] for name in SECRETS}
    for name, service in services.items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|ACCESS_KEY", key) and not key.endswith("_FILE"):
                assert value in values, f"{name}: {key} is not one of the secrets of .env"
            if "://" in str(value) and "@" in str(value):
                password = re.search(r"://\w+:([^@]*)@", str(value))
                assert password is not None, f"{name}: {key}"
                assert password.group(1) in values, f"{name}: {key}"


def test_no_secret_is_on_a_command_line(services: dict[str, Any]) -> None:
    secrets = [complete_env()[name] for name in SECRETS]
    for name, service in services.items():
        words = " ".join([*service.get("command", []), *service.get("healthcheck", {}).get("test", [])])
        assert not any(secret in words for secret in secrets), name


def test_every_published_port_is_bound_to_loopback(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(published) == {"webserver", "mlflow"}
    for ports in published.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_every_service_has_a_memory_limit_and_a_restart_policy(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped"), name


def test_every_lasting_service_has_a_health_check_that_ends_before_the_next_begins(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name in ONE_SHOT:
            continue
        check = service["healthcheck"]
        assert check["test"][0] == "CMD", name
        assert _seconds(check["timeout"]) < _seconds(check["interval"]), name


def test_services_start_in_order(services: dict[str, Any]) -> None:
    conditions = {
        (name, needed): how["condition"]
        for name, service in services.items()
        for needed, how in service.get("depends_on", {}).items()
    }
    assert conditions == {
        ("make-bucket", "s3"): "service_healthy",
        ("migrate", "postgres"): "service_healthy",
        ("mlflow", "migrate"): "service_completed_successfully",
        ("mlflow", "make-bucket"): "service_completed_successfully",
        ("code-server", "migrate"): "service_completed_successfully",
        ("code-server", "make-bucket"): "service_completed_successfully",
        ("code-server", "mlflow"): "service_healthy",
        ("code-server", "paper-gateway"): "service_healthy",
        ("code-server", "ib-gateway"): "service_started",
        ("webserver", "code-server"): "service_healthy",
        ("daemon", "code-server"): "service_healthy",
    }


def test_the_gateways_stand_in_for_each_other_and_never_run_both(services: dict[str, Any]) -> None:
    paper, ibkr = services["paper-gateway"], services["ib-gateway"]
    assert (paper["profiles"], ibkr["profiles"]) == (["paper"], ["ibkr"])
    assert env_example()[0]["COMPOSE_PROFILES"] == "paper"
    assert paper["networks"] == ibkr["networks"] == {"broker": {"aliases": ["broker"]}}
    assert paper["container_name"] == ibkr["container_name"]
    settings = services["code-server"]["environment"]
    assert (settings["TRADING_PLATFORM_IBKR_HOST"], settings["TRADING_PLATFORM_IBKR_PORT"]) == ("broker", "4004")
    assert "--port=4004" in paper["command"]
    for gateway in ("paper-gateway", "ib-gateway"):
        assert services["code-server"]["depends_on"][gateway]["required"] is False


def test_the_gateway_network_has_nobody_but_gateway_and_code_server(services: dict[str, Any]) -> None:
    members = {name for name, service in services.items() if "broker" in service.get("networks", {})}
    assert members == {"paper-gateway", "ib-gateway", "code-server"}


def test_live_trading_reaches_the_login_and_the_platform_by_one_setting() -> None:
    live = compose({**complete_env(), "TRADING_PLATFORM_MODE": "live", "TRADING_PLATFORM_IBKR_PORT": "4003"})[
        "services"
    ]
    assert live["ib-gateway"]["environment"]["TRADING_MODE"] == "live"
    assert live["ib-gateway"]["healthcheck"]["test"][-1] == "4003"
    assert live["code-server"]["environment"]["TRADING_PLATFORM_MODE"] == "live"


def test_production_is_paper_with_schedules_off_unless_told_otherwise(services: dict[str, Any]) -> None:
    settings = services["code-server"]["environment"]
    assert settings["TRADING_PLATFORM_MODE"] == "paper"
    assert settings["TRADING_PLATFORM_SCHEDULES_RUNNING"] == "false"
    assert services["ib-gateway"]["environment"]["TRADING_MODE"] == "paper"


def test_only_those_who_need_a_database_or_the_store_know_its_password(services: dict[str, Any]) -> None:
    knows = {
        secret: {name for name, service in services.items() if complete_env()[secret] in str(service)}
        for secret in SECRETS
    }
    assert knows["POSTGRES_PASSWORD"] == {"postgres"}
    assert knows["LEDGER_DATABASE_PASSWORD"] == {"postgres", "migrate", "code-server"}
    assert knows["MLFLOW_DATABASE_PASSWORD"] == {"postgres", "migrate", "mlflow"}
    assert knows["DAGSTER_DATABASE_PASSWORD"] == {"postgres", "migrate", "code-server", "webserver", "daemon"}
    assert knows["S3_SECRET_ACCESS_KEY"] == {"s3", "make-bucket", "mlflow", "code-server"}


def test_dagsters_connections_are_kept(services: dict[str, Any]) -> None:
    for name in ("code-server", "webserver", "daemon", "migrate"):
        assert services[name]["environment"]["TRADING_PLATFORM_DAGSTER_DATABASE_URL"].endswith("?plugin=pooled")


def test_images_of_others_are_pinned_and_ours_runs_without_privileges(services: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in services.items()}
    others = {name: image for name, image in images.items() if image != OUR_IMAGE}
    assert set(others) == {"postgres", "s3", "ib-gateway"}
    assert all(re.search(r":(\d+\.\d+|stable)$", image) for image in others.values()), others
    for name in set(images) - set(others):
        assert services[name]["cap_drop"] == ["ALL"], name
        assert services[name]["security_opt"] == ["no-new-privileges:true"], name


def test_every_mounted_file_is_in_the_repository(services: dict[str, Any]) -> None:
    mounts = [mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])]
    files = [mount for mount in mounts if mount.startswith("./")]
    assert files
    for name in files:
        assert (REPOSITORY / name).is_file(), name


def test_own_strategies_and_market_data_are_mounted_when_they_are_named() -> None:
    bare = compose(complete_env())
    named = {"TRADING_PLATFORM_STRATEGIES": "./mine", "TRADING_PLATFORM_PAPER_DATA": "/srv/bars"}
    with_files = compose({**complete_env(), **named})["services"]
    assert bare["services"]["code-server"]["environment"]["TRADING_PLATFORM_STRATEGIES"] == ""
    assert "strategies:/var/lib/strategies:ro" in bare["services"]["code-server"]["volumes"]
    assert {"strategies", "paper_data"} <= set(bare["volumes"])
    assert with_files["code-server"]["environment"]["TRADING_PLATFORM_STRATEGIES"] == "/var/lib/strategies"
    assert "./mine:/var/lib/strategies:ro" in with_files["code-server"]["volumes"]
    assert with_files["paper-gateway"]["environment"]["TRADING_PLATFORM_PAPER_DATA"] == "/var/lib/paper_data"
    assert "/srv/bars:/var/lib/paper_data:ro" in with_files["paper-gateway"]["volumes"]


def test_every_variable_of_the_compose_file_is_documented() -> None:
    active, shown = env_example()
    assert all_variables() - {"COMPOSE_PROJECT_NAME"} <= active.keys() | shown.keys()


def test_scripts_are_executable() -> None:
    for script in DEPLOY.rglob("*.sh"):
        assert script.stat().st_mode & 0o111, script


@pytest.fixture(scope="module")
def docker() -> str:
    program = shutil.which("docker")
    has_compose = program and subprocess.run([program, "compose", "version"], capture_output=True, check=False)
    if not has_compose or has_compose.returncode:
        pytest.skip("docker compose is not installed here: the file is checked by the other tests alone")
    return str(program)


@pytest.mark.parametrize("profile", ["paper", "ibkr"])
def test_docker_accepts_the_file(docker: str, profile: str, tmp_path: Path) -> None:
    done = _docker_config(docker, {**complete_env(), "COMPOSE_PROFILES": profile}, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NEEDED)
def test_docker_refuses_the_file_without_a_secret_and_names_it(docker: str, name: str, tmp_path: Path) -> None:
    done = _docker_config(docker, {**complete_env(), name: ""}, tmp_path)
    assert done.returncode != 0
    assert f"set {name} in .env" in done.stderr


def _docker_config(docker: str, env: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    file = directory / "env"
    file.write_text("".join(f"{name}={value}\n" for name, value in env.items()))
    command = [docker, "compose", "--file", str(COMPOSE_FILE), "--env-file", str(file), "config", "--quiet"]
    clean = {name: value for name, value in process_environment({}).items() if name not in env}
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=False)


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]
