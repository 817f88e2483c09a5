"""Where the lake's files are: a local directory, or an object store behind fsspec. Whole files in, whole files out.

What belongs here: names, bytes and the errors of disks and stores. What the bytes mean is in ``lake``.

A file that is replaced by other content is kept for some days, so that it can be put back:

- On disk as ``<base>/.versions/<day it was replaced>/<path>/<time>-<digest>.parquet``. That is a second name (hard
  link) of the old file: nothing is copied, and no glob over tables meets it. Whoever replaces something removes the
  days that are over. Linking and replacing happen under a lock, so that of two writers at once neither's file is
  lost; a writer killed in between leaves one more name of the current file.
- In S3 by the bucket's own versioning (``trading-platform make-bucket`` switches it on, with a rule that expires old
  versions). Without it the store keeps nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol, TypeVar

Found = TypeVar("Found")
Item = TypeVar("Item")
Done = TypeVar("Done")

WRITERS = 8
"""Files written at once: on disk fsync is what takes the time, on S3 the round trip."""
VERSIONS = ".versions"
KEEP_DAYS = 30
"""For how many days content that was replaced can be put back, unless told otherwise."""


class LakeError(RuntimeError):
    """The lake can't do what was asked; the message says what to do."""


class LakeFullError(LakeError):
    """No space is left where the lake is."""


class LakeNotWritableError(LakeError):
    """The lake's place is read-only, or belongs to somebody else."""


class LakeUnavailableError(LakeError):
    """The lake's store does not answer, or refuses us."""


@dataclass(frozen=True)
class KeptFile:
    """One content that a path had. ``replaced_at`` is tz-aware UTC; None: it is the current one."""

    key: str
    replaced_at: datetime | None
    content: bytes


class Files(Protocol):
    """Files named by paths relative to the lake's base."""

    base: str

    def write(self, contents: Mapping[str, bytes]) -> int:
        """Write files; each appears whole or not at all. Returns how many had other content before, or none.

        A file that holds the same bytes already is left alone; other content is kept, then replaced.
        """
        ...

    def kept(self, path: str) -> list[KeptFile]:
        """The contents that ``path`` had, as far as they are kept, the newest (the current one) first."""
        ...

    def read(self, paths: Sequence[str], parse: Callable[[str, Any], Found]) -> dict[str, Found]:
        """Parse (several at once) the files that exist; ``parse`` gets a path and a file path or its bytes."""
        ...

    def names(self, directory: str) -> list[str]:
        """Names of the files in ``directory``; [] if there is no such directory."""
        ...


def open_files(
    url: str, storage_options: Mapping[str, Any] | None = None, *, keep_days: int = KEEP_DAYS
) -> LocalFiles | ObjectFiles:
    """The files at ``url``: a local path, ``file://…``, or what fsspec knows, e.g. ``s3://bucket/prefix``.

    ``keep_days``: for how long replaced content is kept on disk; 0 keeps none.
    """
    protocol, _, rest = url.partition("://")
    if not rest:
        return LocalFiles(Path(url), keep_days)
    if protocol == "file":
        return LocalFiles(Path(rest), keep_days)
    return ObjectFiles(url, storage_options or {})


def in_threads(work: Callable[[Item], Done], items: Collection[Item], threads: int | None = None) -> list[Done]:
    """``work`` of each item, in their order, several at once (by default one per core). One alone needs no thread."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads or os.cpu_count() or 2) as pool:
        return list(pool.map(work, items))


class LocalFiles:
    """Files under a local directory.

    A file is written under a hidden name, synced and renamed. The writer holds a lock on the hidden file, so
    that the next writer can tell one that is being written from what a killed process left, and remove that.
    """

    def __init__(self, base: Path, keep_days: int = KEEP_DAYS) -> None:
        self._base = base.expanduser().absolute()
        self._keep_days = keep_days
        self.base = str(self._base)

    def write(self, contents: Mapping[str, bytes]) -> int:
        directories = {(self._base / path).parent for path in contents}
        with _disk_errors(self.base):
            for directory in directories:
                directory.mkdir(parents=True, exist_ok=True)
                _sweep(directory)
            if self._keep_days:
                (self._base / VERSIONS).mkdir(exist_ok=True)
            replaced = in_threads(lambda item: self._replace(*item), contents.items(), WRITERS)
            if any(replaced):
                for directory in directories:
                    _sync_directory(directory)
                self._forget()
        return sum(replaced)

    def _replace(self, path: str, content: bytes) -> bool:
        target = self._base / path
        if _holds(target, content):
            return False
        with _hidden_file(target, content) as (hidden, written_at):
            if self._keep_days:
                with _locked(self._base / VERSIONS / ".lock"):
                    self._keep(path, written_at)
                    hidden.replace(target)
            else:
                hidden.replace(target)
        return True

    def _keep(self, path: str, replaced_at: datetime) -> None:
        """Give what is at ``path``, if anything, a second name that stays."""
        target = self._base / path
        try:
            digest = hashlib.blake2b(target.read_bytes(), digest_size=4).hexdigest()
        except FileNotFoundError:
            return
        name = f"{replaced_at:%H%M%S%f}-{digest}{target.suffix}"
        kept = self._base / VERSIONS / replaced_at.date().isoformat() / path / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # the same content within the clock's resolution
            os.link(target, kept)

    def _forget(self) -> None:
        """Remove the days whose time is over, as seen by the disk's own clock."""
        versions = self._base / VERSIONS
        if not self._keep_days:
            return
        days = sorted(name for name in os.listdir(versions) if not name.startswith("."))  # noqa: PTH208 - names only
        if days:
            newest = datetime.fromisoformat(days[-1])
            oldest = (newest - timedelta(days=self._keep_days)).date().isoformat()
            for day in days:
                if day < oldest:
                    shutil.rmtree(versions / day, ignore_errors=True)  # somebody else may be at it

    def kept(self, path: str) -> list[KeptFile]:
        with _disk_errors(self.base):
            found = []
            for old in (self._base / VERSIONS).glob(f"*/{path}/*"):
                stamp = f"{old.relative_to(self._base / VERSIONS).parts[0]} {old.name.split('-')[0]}+0000"
                with contextlib.suppress(FileNotFoundError):  # its time was over just now
                    replaced_at = datetime.strptime(stamp, "%Y-%m-%d %H%M%S%f%z")
                    found.append(KeptFile(str(old.relative_to(self._base)), replaced_at, old.read_bytes()))
            found.sort(key=lambda kept: kept.key, reverse=True)
            with contextlib.suppress(FileNotFoundError):
                found.insert(0, KeptFile(path, None, (self._base / path).read_bytes()))
        return found

    def read(self, paths: Sequence[str], parse: Callable[[str, Any], Found]) -> dict[str, Found]:
        def parse_one(path: str) -> tuple[str, Found] | None:
            try:
                return path, parse(path, str(self._base / path))
            except (FileNotFoundError, NotADirectoryError):
                return None

        with _disk_errors(self.base):
            found = in_threads(parse_one, paths)
        return dict(item for item in found if item is not None)

    def names(self, directory: str) -> list[str]:
        with _disk_errors(self.base):
            try:
                return [name for name in os.listdir(self._base / directory) if not name.startswith(".")]  # noqa: PTH208 - names only, thousands of them
            except (FileNotFoundError, NotADirectoryError):
                return []


def _holds(target: Path, content: bytes) -> bool:
    """Whether ``target`` has this content already."""
    try:
        return target.stat().st_size == len(content) and target.read_bytes() == content
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _hidden_file(target: Path, content: bytes) -> Iterator[tuple[Path, datetime]]:
    """``content`` beside ``target``, synced, under a hidden name; with the moment of writing, tz-aware UTC.

    It is gone at the end of the block unless it was renamed.
    """
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
            yield hidden, datetime.fromtimestamp(os.fstat(descriptor).st_mtime, timezone.utc)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise
        else:
            return
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Nobody else is in such a block meanwhile, in this process or another; a killed holder lets go."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
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

    def write(self, contents: Mapping[str, bytes]) -> int:
        with self._store_errors():
            stored = self._etags(list(contents))
            changed = {
                f"{self._prefix}/{path}": content
                for path, content in contents.items()
                if path not in stored or stored[path] != hashlib.md5(content, usedforsecurity=False).hexdigest()
            }
            self._store.pipe(changed)
        return len(changed)

    def _etags(self, paths: Sequence[str]) -> dict[str, str]:
        """Entity tags of the objects that exist. For one PUT, encrypted or not by S3 itself, that is the MD5 sum."""
        found = {}
        for directory in {path.rpartition("/")[0] for path in paths}:
            wanted = {f"{self._prefix}/{path}" for path in paths if path.rpartition("/")[0] == directory}
            try:
                entries = (
                    self._store.ls(f"{self._prefix}/{directory}", detail=True)
                    if len(wanted) > 1
                    else [self._store.info(*wanted)]
                )
            except FileNotFoundError:
                continue
            found.update({entry["name"]: str(entry.get("ETag", "")).strip('"') for entry in entries})
        return {path: found[name] for path in paths if (name := f"{self._prefix}/{path}") in found}

    def kept(self, path: str) -> list[KeptFile]:
        name = f"{self._prefix}/{path}"
        bucket, _, key = name.partition("/")
        found: list[KeptFile] = []
        replaced_at = None
        with self._store_errors():
            for info in self._versions(bucket, key):
                version = info["VersionId"]
                chosen = {} if version in (None, "null") else {"version_id": version}
                content = self._store.cat_file(name, **chosen)
                found.append(KeptFile(f"{path}?versionId={version}", replaced_at, content))
                replaced_at = info["LastModified"]
        return found

    def _versions(self, bucket: str, key: str) -> list[dict[str, Any]]:
        """What S3 knows of an object's versions, the newest first. Other stores know none."""
        if not hasattr(self._store, "call_s3"):
            return []
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"IsTruncated": True}
        marker: dict[str, str] = {}
        while page["IsTruncated"]:
            page = self._store.call_s3("list_object_versions", Bucket=bucket, Prefix=key, **marker)
            found += [info for info in page.get("Versions", []) if info["Key"] == key]
            marker = {
                "KeyMarker": page.get("NextKeyMarker", ""),
                "VersionIdMarker": page.get("NextVersionIdMarker", ""),
            }
        return found

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
