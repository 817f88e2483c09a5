"""The documentation says what the code does: links, commands, settings, names, messages and examples."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import click
import pytest

from trading_platform.cli import main
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.features.compute import warm_up
from trading_platform.domain.features.registry import indicators
from trading_platform.domain.market_data.quality import SEVERITIES, DataQuality
from trading_platform.domain.market_data.reasons import REASONS, RULES
from trading_platform.domain.orders.model import OrderStatus
from trading_platform.domain.orders.risk.base import name_of
from trading_platform.domain.orders.risk.decision import default_controls
from trading_platform.domain.signals import strategies
from trading_platform.domain.signals.loading import load_strategy
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.settings import ENV_PREFIX, Settings, get_settings
from trading_platform.specs.loader import load_strategy_specs

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "trading_platform"
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]
STAGES = ("market_data", "features", "signals", "orders", "portfolio", "research")
PLACEHOLDERS = {
    "<feed>": ("daily", "tsla", "iwm", "btc", "minute"),
    "<strategy>": ("momentum", "tsla", "iwm", "btc"),
    "<calendar>": ("xnys", "24_7"),
}
MADE_UP = ("reversion",)
"""Strategies that only exist in an example."""


def page_id(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


each_page = pytest.mark.parametrize("page", PAGES, ids=page_id)


def blocks(text: str, language: str | None = None) -> list[str]:
    """The fenced blocks of a page, of one language or of any."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [body for name, body in found if language in (None, name)]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def spans(text: str) -> list[str]:
    """What stands in backticks within the prose."""
    return re.findall(r"`([^`\n]+)`", prose(text).replace("\\`", ""))


def code(text: str) -> list[str]:
    """Everything that is set as code."""
    return [*spans(text), *blocks(text)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings}


def expanded(name: str) -> list[str]:
    """``name`` with every value of its placeholders."""
    names = [name]
    for placeholder, values in PLACEHOLDERS.items():
        names = [
            one.replace(placeholder, value) for one in names for value in (values if placeholder in one else ("",))
        ]
    return names


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    section = re.split(rf"^##+ {re.escape(heading)}$", (DOCS / page).read_text(), flags=re.MULTILINE)[1]
    table = re.search(r"(?:^\|.*\|\n)+", section, re.MULTILINE)
    assert table is not None, f"no table below {heading!r} in {page}"
    lines = table.group().splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def first_names(page: str, heading: str) -> list[str]:
    """What stands in backticks in the first column of a table."""
    return [name for row in rows(page, heading) for name in re.findall(r"`([^`]+)`", row[0])]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Dagster's view of the shipped definitions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"{ENV_PREFIX}HOME", str(tmp_path_factory.mktemp("home")))
        get_settings.cache_clear()
        from trading_platform.definitions import build_definitions

        yield build_definitions(get_settings()).get_repository_def()
    get_settings.cache_clear()


def asset_keys(repository: Any) -> set[str]:
    return {"/".join(key.path) for key in repository.asset_graph.get_all_asset_keys()}


def job_names(repository: Any) -> set[str]:
    return {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", prose(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / target) if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(f"{target}#{anchor}" if anchor else target)
    assert not broken


@each_page
def test_every_command_and_its_options_exist(page: Path) -> None:
    assert isinstance(main, click.Group)
    for text in code(page.read_text()):
        for line in text.splitlines():
            for name, rest in re.findall(r"\btrading-platform ([a-z][a-z-]*)([^|&;#`]*)", line):
                assert name in main.commands, f"`trading-platform {name}` does not exist"
                command = main.commands[name]
                parts = command.commands.values() if isinstance(command, click.Group) else [command]
                options = {option for part in parts for parameter in part.params for option in parameter.opts}
                unknown = set(re.findall(r"(?<!\S)--[a-z-]+", rest)) - options - {"--help"}
                assert not unknown, f"`trading-platform {name}` has no {unknown}"


@each_page
def test_every_setting_exists(page: Path) -> None:
    known = {f"{ENV_PREFIX}{field.upper()}" for field in Settings.model_fields}
    tests_own = {f"{ENV_PREFIX}TEST_IB_CLIENT"}
    mentioned = set(re.findall(rf"{ENV_PREFIX}[A-Z0-9_]*[A-Z0-9]", page.read_text()))
    assert mentioned <= known | tests_own


@each_page
def test_every_asset_named_with_its_stage_exists(page: Path, repository: Any) -> None:
    pattern = re.compile(rf"({'|'.join(STAGES)})/[\w<>]+")
    named = [name for span in spans(page.read_text()) if pattern.fullmatch(span) for name in expanded(span)]
    known = {*asset_keys(repository), *(f"{stage}/" for stage in STAGES)}
    not_there = {name for name in named if name not in known}
    # no strategy reads the minute ingest
    assert not_there <= {"features/minute_features"}


@each_page
def test_every_agent_and_schedule_in_backticks_exists(page: Path, repository: Any) -> None:
    known = job_names(repository) | {schedule.name for schedule in repository.schedule_defs}
    pattern = re.compile(r"[\w<>]+_(?:agent|schedule)|session_(?:xnys|24_7|<calendar>)\w*")
    named = [name for span in spans(page.read_text()) if pattern.fullmatch(span) for name in expanded(span)]
    assert {name for name in named if not name.startswith(MADE_UP)} <= known


@each_page
def test_every_file_and_what_it_defines_exists(page: Path) -> None:
    for span in spans(page.read_text()):
        match = re.fullmatch(r"([\w.-]+(?:/[\w.-]+)*\.(?:py|yaml))(?::(\w+))?", span)
        if match is None or match[1] in ("universe.yaml", "dagster.yaml", "docker-compose.yml", "workspace.yaml"):
            continue
        file = next((root / match[1] for root in (PACKAGE, REPOSITORY) if (root / match[1]).exists()), None)
        assert file is not None, f"{match[1]} does not exist"
        if match[2]:
            defined = re.search(
                rf"^(?:async )?(?:def|class) {match[2]}\b|^{match[2]}\b", file.read_text(), re.MULTILINE
            )
            assert defined, f"{match[1]} does not define {match[2]}"


def test_the_tables_of_names_are_complete(repository: Any) -> None:
    assert {name for row in first_names("naming.md", "Jobs") for name in expanded(row)} == job_names(repository)
    assert set(first_names("naming.md", "Schedules")) == {schedule.name for schedule in repository.schedule_defs}
    assert set(first_names("naming.md", "Sensors")) == {sensor.name for sensor in repository.sensor_defs}
    assert set(first_names("naming.md", "Checks")) == {key.name for key in repository.asset_graph.asset_check_keys}
    assets = {name for row in first_names("naming.md", "Assets") for name in expanded(row)}
    assert assets - {"features/minute_features"} == asset_keys(repository)


def test_the_tables_of_codes_are_complete() -> None:
    assert first_names("naming.md", "Reason codes of quarantined bars") == list(REASONS)
    assert first_names("naming.md", "Risk controls") == [name_of(control) for control in default_controls()]
    assert set(first_names("naming.md", "Statuses of an order")) == {status.value for status in OrderStatus}


def test_the_tables_of_data_quality_are_complete() -> None:
    documented = {row[0].strip("`"): row[1:] for row in rows("data-quality.md", "The rules and what is known when")}
    configured = {rule.code: rule for rule in RULES if rule.kind != "structure" or rule.needs_later_bars}
    assert set(documented) == set(configured)
    for code, (default, needs_later_bars, at_tick) in documented.items():
        assert default.startswith(SEVERITIES.get(code, "")), code
        assert needs_later_bars == ("yes" if configured[code].needs_later_bars else "no"), code
        assert at_tick == configured[code].at_tick, code
    thresholds = {
        name for row in rows("data-quality.md", "Severities and thresholds") for name in re.findall(r"`(\w+)`", row[0])
    }
    assert thresholds == set(DataQuality.model_fields["daily"].annotation.model_fields) - {"severities"}


def test_the_meanings_of_the_reasons_are_the_ones_of_the_code() -> None:
    documented = {row[0].strip("`"): row[1] for row in rows("naming.md", "Reason codes of quarantined bars")}
    assert documented == REASONS


def test_the_table_of_features_is_complete() -> None:
    documented = {row[1].strip("`"): row[2] for row in rows("strategies.md", "Features by name")}
    assert documented == {entry.example_name: entry.units for entry in indicators().values()}


@pytest.mark.parametrize("part", ["", "sizing", "limits", "order"])
def test_the_tables_of_the_spec_have_every_field_with_its_default(part: str) -> None:
    model: Any = StrategySpec.model_fields[part].annotation if part else StrategySpec
    section = (DOCS / "strategies.md").read_text().split("\n## The spec\n")[1]
    table = section.split(f"\n**{part}**")[1] if part else section
    documented = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table.split("\n\n**")[0], re.MULTILINE))
    assert set(documented) == set(model.model_fields)
    for name, field in model.model_fields.items():
        if documented[name].strip() == "see below":
            continue
        default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)}`"
        assert documented[name].strip() == default, name


@lru_cache(maxsize=1)
def messages() -> tuple[str, ...]:
    """Every text in the package, with … for what is filled in."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
                found.add("".join(parts))
    return tuple(found)


def test_every_message_explained_is_one_that_the_code_says() -> None:
    text = (DOCS / "troubleshooting.md").read_text().split("## Things that surprise")[0]
    explained = re.findall(r"^\| `((?:[^`\\]|\\`)+)` \|", text, re.MULTILINE)
    assert len(explained) > 90
    unknown = []
    for message in explained:
        wanted = message.replace("\\`", "`").replace(f"{ENV_PREFIX}HOME", "HOME")
        pieces = [re.escape(piece) for piece in wanted.split("…")]
        pattern = re.compile(".*".join(pieces), re.DOTALL)
        if not any(pattern.search(said.replace(f"{ENV_PREFIX}HOME", "HOME")) for said in messages()):
            unknown.append(message)
    assert not unknown


def test_the_example_strategy_works_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DOCS / "strategies.md").read_text()
    module, test = blocks(text, "python")
    spec, _ = blocks(text, "yaml")
    (tmp_path / "mean_reversion.py").write_text(module)
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "reversion.yaml").write_text(spec)
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    (loaded,) = load_strategy_specs(tmp_path / "specs")
    strategy = load_strategy(loaded)
    assert warm_up(strategy.features) <= loaded.history_sessions
    assert get_calendar(loaded.calendar).name == "XNYS"
    names: dict[str, Any] = {}
    exec(compile(test, "strategies.md", "exec"), names)
    names["test_what_fell_far_is_bought_and_the_rest_is_flat"]()


def test_the_example_of_a_bracket_is_a_spec_that_loads(tmp_path: Path) -> None:
    _, spec = blocks((DOCS / "strategies.md").read_text(), "yaml")
    (tmp_path / "breakout.yaml").write_text(spec)
    (loaded,) = load_strategy_specs(tmp_path)
    assert loaded.order.bracket is not None


@each_page
def test_python_examples_are_python_and_import_what_exists(page: Path) -> None:
    for block in blocks(page.read_text(), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trading_platform."):
                file = REPOSITORY / Path(*str(node.module).split("."))
                is_new = file.name == "mean_reversion"
                assert is_new or file.with_suffix(".py").exists() or (file / "__init__.py").exists(), node.module
