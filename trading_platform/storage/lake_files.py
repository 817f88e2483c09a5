"""Where the lake's files are: a local directory, or an object store behind fsspec. Whole files in, whole files out.

What belongs here: names, bytes and the errors of disks and stores. What the bytes mean is in ``lake``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

Found = TypeVar("Found")

WRITERS = 8
"""Files written at once: on disk fsync is what takes the time, on S3 the round trip."""


class LakeError(RuntimeError):
    """The lake can't do what was asked; the message says what to do."""


class LakeFullError(LakeError):
    """No space is left where the lake is."""


class LakeNotWritableError(LakeError):
    """The lake's place is read-only, or belongs to somebody else."""


class LakeUnavailableError(LakeError):
    """The lake's store does not answer, or refuses us."""


class Files(Protocol):
    """Files named by paths relative to the lake's base."""

    base: str

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write files; each appears whole or not at all. A file that is there is replaced."""
        ...

    def read(self, paths: Sequence[str], parse: Callable[[str, Any], Found]) -> dict[str, Found]:
        """Parse (several at once) the files that exist; ``parse`` gets a path and a file path or its bytes."""
        ...

    def names(self, directory: str) -> list[str]:
        """Names of the files in ``directory``; [] if there is no such directory."""
        ...


def open_files(url: str, storage_options: Mapping[str, Any] | None = None) -> Files:
    """The files at ``url``: a local path, ``file://…``, or what fsspec knows, e.g. ``s3://bucket/prefix``."""
    protocol, _, rest = url.partition("://")
    if not rest:
        return LocalFiles(Path(url))
    if protocol == "file":
        return LocalFiles(Path(rest))
    return ObjectFiles(url, storage_options or {})


class LocalFiles:
    """Files under a local directory.

    A file is written under a hidden name, synced and renamed. The writer holds a lock on the hidden file, so
    that the next writer can tell one that is being written from what a killed process left, and remove that.
    """

    def __init__(self, base: Path) -> None:
        self._base = base.expanduser().absolute()
        self.base = str(self._base)

    def write(self, contents: Mapping[str, bytes]) -> None:
        targets = {self._base / path: content for path, content in contents.items()}
        directories = {target.parent for target in targets}
        with _disk_errors(self.base):
            for directory in directories:
                directory.mkdir(parents=True, exist_ok=True)
                _sweep(directory)
            if len(targets) == 1:
                _replace(*next(iter(targets.items())))
            else:
                with ThreadPoolExecutor(WRITERS) as pool:
                    list(pool.map(_replace, targets.keys(), targets.values()))
            for directory in directories:
                _sync_directory(directory)

    def read(self, paths: Sequence[str], parse: Callable[[str, Any], Found]) -> dict[str, Found]:
        def parse_one(path: str) -> tuple[str, Found] | None:
            try:
                return path, parse(path, str(self._base / path))
            except (FileNotFoundError, NotADirectoryError):
                return None

        with _disk_errors(self.base):
            if len(paths) == 1:
                found = [parse_one(paths[0])]
            else:
                with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
                    found = list(pool.map(parse_one, paths))
        return dict(item for item in found if item is not None)

    def names(self, directory: str) -> list[str]:
        with _disk_errors(self.base):
            try:
                return [name for name in os.listdir(self._base / directory) if not name.startswith(".")]  # noqa: PTH208 - names only, thousands of them
            except (FileNotFoundError, NotADirectoryError):
                return []


def _replace(target: Path, content: bytes) -> None:
    while True:
        hidden = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink == 0:
                continue  # swept between open and lock
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
            hidden.replace(target)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise
        else:
            return
        finally:
            os.close(descriptor)


def _sweep(directory: Path) -> None:
    """Remove hidden files that a killed writer left in ``directory``."""
    for name in os.listdir(directory):  # noqa: PTH208 - names only, thousands of them
        if name.startswith(".") and name.endswith(".tmp"):
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                descriptor = os.open(directory / name, os.O_WRONLY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    (directory / name).unlink()
                finally:
                    os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _disk_errors(base: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or base
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            msg = f"the disk of the lake {base} is full (writing {where}): free some space and materialize again"
            raise LakeFullError(msg) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            msg = (
                f"the lake {base} can't be used ({error}): make it readable and writable for the user who runs "
                "this, or point TRADING_PLATFORM_LAKE_URL somewhere else"
            )
            raise LakeNotWritableError(msg) from error
        msg = f"the lake {base} can't be used: {error}"
        raise LakeUnavailableError(msg) from error


class ObjectFiles:
    """Objects of a store behind fsspec, e.g. S3. A write is one PUT (multipart from 100 MB on): all or nothing.

    Reads fetch whole objects: they are small, and one round trip is what costs.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any]) -> None:
        import fsspec

        self.base = url.rstrip("/")
        # other processes write too: a cached listing would be wrong
        options = {"use_listings_cache": False, **storage_options}
        try:
            self._store, self._prefix = fsspec.core.url_to_fs(self.base, **options)
        except (ValueError, ImportError) as error:
            msg = f"the lake's address {url!r} is not understood ({error}): use a path or s3://bucket/prefix"
            raise LakeUnavailableError(msg) from error

    def write(self, contents: Mapping[str, bytes]) -> None:
        with self._store_errors():
            self._store.pipe({f"{self._prefix}/{path}": content for path, content in contents.items()})

    def read(self, paths: Sequence[str], parse: Callable[[str, Any], Found]) -> dict[str, Found]:
        with self._store_errors():
            found = self._store.cat([f"{self._prefix}/{path}" for path in paths], on_error="return")
            contents: dict[str, bytes] = {}
            for path in paths:
                content = found[f"{self._prefix}/{path}"]
                if isinstance(content, FileNotFoundError):
                    continue
                if isinstance(content, BaseException):
                    raise content
                contents[path] = content
        return {path: parse(path, content) for path, content in contents.items()}

    def names(self, directory: str) -> list[str]:
        with self._store_errors():
            try:
                entries = self._store.ls(f"{self._prefix}/{directory}", detail=False)
            except FileNotFoundError:
                return []
        return [entry.rsplit("/", 1)[-1] for entry in entries]

    @contextlib.contextmanager
    def _store_errors(self) -> Iterator[None]:
        try:
            yield
        except LakeError:
            raise
        except PermissionError as error:
            msg = f"the store of the lake {self.base} refuses us ({error}): check its credentials and policy"
            raise LakeUnavailableError(msg) from error
        except FileNotFoundError as error:
            msg = f"the bucket of the lake {self.base} does not exist ({error}): make it first"
            raise LakeUnavailableError(msg) from error
        except Exception as error:
            # botocore and aiohttp share no base class with OSError, and neither need be installed
            if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in _STORE_LIBRARIES:
                raise
            msg = (
                f"the store of the lake {self.base} does not answer ({type(error).__name__}: {error}): check "
                "TRADING_PLATFORM_LAKE_URL, TRADING_PLATFORM_S3_ENDPOINT_URL and the credentials"
            )
            raise LakeUnavailableError(msg) from error


_STORE_LIBRARIES = {"botocore", "aiobotocore", "aiohttp", "s3fs", "fsspec"}
