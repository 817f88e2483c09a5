from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import sqlalchemy as sa

from trading_platform.storage.embedded_postgres import EmbeddedPostgres
from trading_platform.storage.postgres_programs import (
    PORT,
    CorruptDataDirectoryError,
    EmbeddedPostgresError,
    PostgresStorageError,
    PostgresVersionError,
    server_user,
)
from trading_platform_tests.conftest import quick_directory


@pytest.fixture(scope="module")
def stopped_server() -> Iterator[Path]:
    """A data directory with the platform's databases, whose server has been stopped."""
    home = quick_directory()
    with EmbeddedPostgres(home / "postgres"):
        pass
    yield home / "postgres"
    shutil.rmtree(home)


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty directory, removed with whatever server is left in its ``postgres``."""
    directory = quick_directory()
    yield directory
    server = postmaster(directory / "postgres")
    if server is not None:
        server.kill()
        server.wait()
    shutil.rmtree(directory)


@pytest.fixture
def data_dir(stopped_server: Path, home: Path) -> Path:
    """A copy of the stopped server's directory."""
    copy = home / "postgres"
    shutil.copytree(stopped_server, copy)
    copy.chmod(0o700)
    return copy


def postmaster(data_dir: Path) -> psutil.Process | None:
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess, IndexError):
        process = psutil.Process(int((data_dir / "postmaster.pid").read_text().splitlines()[0]))
        if process.name().startswith("postgres") and is_alive(process):
            return process
    return None


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def query(url: str, statement: str) -> Any:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        result = connection.execute(sa.text(statement))
        return result.scalar() if result.returns_rows else None


USER = """
import sys
from pathlib import Path
from trading_platform.storage.embedded_postgres import EmbeddedPostgres

server = EmbeddedPostgres(Path(sys.argv[1]), keep_running="keep" in sys.argv)
print(server.start().ledger, flush=True)
sys.stdin.readline()
"""


class User:
    """Another process that uses the server until it is told to end."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(data_dir), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def url(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate("\n", timeout=30)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def test_it_starts_from_nothing_with_three_databases(home: Path) -> None:
    place = home / "with space & 100%" / "home"
    with EmbeddedPostgres(place / "postgres") as server:
        urls = server.start()
        assert [url.split("?")[0] for url in (urls.dagster, urls.mlflow, urls.ledger)] == [
            f"postgresql+psycopg2://postgres@/{name}" for name in ("dagster", "mlflow", "ledger")
        ]
        assert query(urls.ledger, "SHOW synchronous_commit") == "on"
        assert query(urls.dagster, "SHOW synchronous_commit") == query(urls.mlflow, "SHOW synchronous_commit") == "off"
        assert query(urls.dagster, "SHOW fsync") == "on"
        assert int(query(urls.dagster, "SHOW max_connections")) >= 100
        assert query(urls.ledger, "SHOW listen_addresses") == ""
        process = postmaster(place / "postgres")
    assert process is not None
    assert not is_alive(process)
    assert sorted(path.name for path in place.iterdir()) == ["postgres", "postgres.lock", "postgres.users"]


def test_variables_of_postgres_in_the_environment_change_nothing(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "6000")
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    with EmbeddedPostgres(data_dir) as server:
        assert query(server.url_of("ledger"), "SELECT 1") == 1


def test_the_last_of_several_users_stops_the_server(data_dir: Path) -> None:
    first, second = User(data_dir), User(data_dir)
    assert first.url() == second.url()
    process = postmaster(data_dir)
    assert process is not None
    first.end()
    assert is_alive(process)
    assert query(_url(data_dir), "SELECT 1") == 1
    second.end()
    assert not is_alive(process)


def test_users_that_start_at_once_on_nothing_share_one_server(home: Path) -> None:
    users = [User(home / "postgres") for _ in range(3)]
    urls = {user.url() for user in users}
    assert len(urls) == 1
    assert query(urls.pop(), "SELECT count(*) FROM pg_database WHERE datname IN ('dagster','mlflow','ledger')") == 3
    for user in users:
        user.end()
    assert postmaster(home / "postgres") is None


def test_two_holders_in_one_process_are_two_users(data_dir: Path) -> None:
    one, other = EmbeddedPostgres(data_dir), EmbeddedPostgres(data_dir)
    one.start()
    url = other.start().ledger
    one.stop()
    one.stop()
    assert query(url, "SELECT 1") == 1
    other.stop()
    assert postmaster(data_dir) is None


def test_a_server_may_outlive_its_users_and_is_adopted(data_dir: Path) -> None:
    user = User(data_dir, "keep")
    url = user.url()
    user.end()
    process = postmaster(data_dir)
    assert process is not None
    assert query(url, "SELECT 1") == 1
    with EmbeddedPostgres(data_dir):
        assert postmaster(data_dir) == process
    assert not is_alive(process)


def test_a_server_whose_user_was_killed_is_adopted_and_stopped_by_the_next(data_dir: Path) -> None:
    user = User(data_dir)
    url = user.url()
    query(url, "CREATE TABLE fills (id int)")
    user.kill()
    process = postmaster(data_dir)
    assert process is not None
    with EmbeddedPostgres(data_dir) as server:
        assert postmaster(data_dir) == process
        assert query(server.url_of("ledger"), "SELECT count(*) FROM fills") == 0
    assert not is_alive(process)


def test_what_was_committed_survives_the_death_of_everything(data_dir: Path) -> None:
    user = User(data_dir)
    url = user.url()
    query(url, "CREATE TABLE fills (id int)")
    query(url, "INSERT INTO fills VALUES (42)")
    process = postmaster(data_dir)
    assert process is not None
    family = [process, *process.children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family)
    user.kill()
    assert (data_dir / "postmaster.pid").exists()
    with EmbeddedPostgres(data_dir) as server:
        assert query(server.url_of("ledger"), "SELECT id FROM fills") == 42


def test_a_stale_or_torn_pid_file_does_not_keep_it_from_starting(data_dir: Path) -> None:
    # the process id now belongs to somebody else: this test
    whole = f"{os.getpid()}\n{data_dir}\n1\n5432\n{data_dir}\n\n1 1\nready\n"
    for content in (whole, str(os.getpid()), "", "half"):
        (data_dir / "postmaster.pid").write_text(content)
        with EmbeddedPostgres(data_dir) as server:
            assert query(server.url_of("ledger"), "SELECT 1") == 1


def test_a_socket_lock_that_names_a_living_stranger_does_not_keep_it_from_starting(data_dir: Path) -> None:
    """As when its postmaster was killed, and the number is another process's now, or a zombie's that nobody reaped."""
    owner = server_user()
    with subprocess.Popen(["sleep", "60"], user=owner.pw_uid if owner else None) as stranger:
        lock = data_dir / f".s.PGSQL.{PORT}.lock"
        lock.write_text(f"{stranger.pid}\n{data_dir}\n0\n{PORT}\n{data_dir}\n")
        with EmbeddedPostgres(data_dir):
            assert lock.read_text().splitlines()[0] != str(stranger.pid)
        stranger.kill()


def test_an_interrupted_creation_is_begun_again(home: Path) -> None:
    unfinished = home / ".postgres.new-abc"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(home / "postgres") as server:
        assert query(server.url_of("ledger"), "SELECT 1") == 1
    assert not unfinished.exists()


def test_a_path_too_long_for_a_socket_gets_a_short_private_one(data_dir: Path) -> None:
    long = data_dir.parent / ("x" * 60) / ("y" * 60) / "postgres"
    long.parent.mkdir(parents=True)
    shutil.move(data_dir, long)
    with EmbeddedPostgres(long) as server:
        url = server.url_of("ledger")
        assert query(url, "SELECT 1") == 1
        socket_dir = Path(url.split("host=")[1].split("&")[0])
        assert len(str(socket_dir)) < 80
        assert socket_dir.stat().st_mode & 0o777 == 0o700
    socket_dir.rmdir()


def test_a_directory_of_another_version_is_refused_with_what_to_do(data_dir: Path) -> None:
    (data_dir / "PG_VERSION").write_text("16\n")
    with pytest.raises(PostgresVersionError, match=r"made by PostgreSQL 16.*upgrade_db"):
        EmbeddedPostgres(data_dir).start()


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CorruptDataDirectoryError, match="holds files but no PostgreSQL database"):
        EmbeddedPostgres(tmp_path).start()
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("damaged", ["global/pg_control", "global/pg_filenode.map"])
def test_a_damaged_directory_is_named_with_what_to_do(data_dir: Path, damaged: str) -> None:
    (data_dir / damaged).write_bytes(b"\0" * 100)
    with pytest.raises(CorruptDataDirectoryError, match=r"is damaged: restore it from a backup"):
        EmbeddedPostgres(data_dir).start(timeout_seconds=5)


def test_a_full_disk_is_named_and_leaves_nothing_half_made(small_disk: Path) -> None:
    with pytest.raises(PostgresStorageError, match="is full: free some space"):
        EmbeddedPostgres(small_disk / "postgres").start()
    assert not list(small_disk.glob("*.new-*"))
    assert not (small_disk / "postgres").exists()


READ_ONLY = """
import os
import sys
from pathlib import Path
from trading_platform.storage.embedded_postgres import EmbeddedPostgres
from trading_platform.storage.postgres_programs import PostgresStorageError

if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    EmbeddedPostgres(Path(sys.argv[1]) / "postgres").start()
except PostgresStorageError as error:
    sys.exit(0 if "make it writable" in str(error) else str(error))
sys.exit("it could be written")
"""


def test_a_read_only_home_is_refused_with_what_to_do() -> None:
    with tempfile.TemporaryDirectory(prefix="tp-tests-") as directory:
        Path(directory).chmod(0o555)
        command = [sys.executable, "-c", READ_ONLY, directory]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_url_is_refused_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="call start"):
        EmbeddedPostgres(tmp_path).url_of("ledger")


def test_a_database_is_a_copy_of_its_template(database_url: str, embedded_postgres: EmbeddedPostgres) -> None:
    query(database_url, "CREATE TABLE orders (id int)")
    source = sa.make_url(database_url).database
    copy = embedded_postgres.create_database("copied", template=source)
    assert query(copy, "SELECT count(*) FROM orders") == 0
    embedded_postgres.drop_database("copied")
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        psycopg2.connect(copy.replace("+psycopg2", ""))


def test_joining_a_running_server_takes_no_time(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        start = time.perf_counter()
        with EmbeddedPostgres(data_dir):
            assert time.perf_counter() - start < 1.0  # measured 15 ms; a guard against starting it again


def _url(data_dir: Path) -> str:
    return f"postgresql+psycopg2://postgres@/ledger?host={data_dir}&port=5432"
