"""The lake: Parquet files, one per table and session, on a local disk or in an object store.

Layout, which DuckDB, polars and pandas open in one line (the column ``session`` is in the rows)::

    <base>/<stage>/<table>/session=<YYYY-MM-DD>.parquet   by session: read_parquet('<base>/<stage>/<table>/*.parquet')
    <base>/<stage>/<table>.parquet                        others:     read_parquet('<base>/<stage>/<table>.parquet')

Every file carries its *version* in its footer, a digest of its content: the same rows make the same version. What a
file held before stays recoverable for some days (``Lake.versions``, ``Lake.restore``; see ``lake_files``).

Frames are pandas with a plain RangeIndex. These come back as they went in: ``datetime64[ns, UTC]``, strings and
None, ``float64`` (with NaN), integers, ``bool``, and pandas' nullable types; also in a frame without rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trading_platform.storage.lake_files import KEEP_DAYS, KeptFile, LakeError, open_files
from trading_platform.storage.lake_parquet import LakeSchemaError, decode, encode, encode_all, version_of

TableKey = tuple[str, str]
"""Stage and table, e.g. ``("market_data", "daily_raw_bars")``; the asset key of the same asset."""

SESSION = "session"
VERSIONS = "lake_versions"
"""Key of ``frame.attrs``: which version of each session a frame was read from, a :class:`Versions`."""
LISTING_PAYS_FROM = 100
"""Sessions from which on one listing is cheaper than asking for files that may not be there."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FILE = re.compile(r"session=(\d{4}-\d{2}-\d{2})\.parquet")


class LakeMissingError(LakeError):
    """Files that were asked for are not there. ``sessions`` lists them (empty for an unpartitioned table)."""

    def __init__(self, message: str, sessions: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.sessions = tuple(sessions)


class Versions(dict[str, str]):
    """Session → version that was read (the key of an unpartitioned table is ""). Not to be changed.

    Copied by reference only: pandas copies ``attrs`` deeply at every step. A dict, since pandas writes ``attrs`` as
    JSON.
    """

    def __deepcopy__(self, memo: object) -> Versions:
        return self


@dataclass(frozen=True)
class LakeWrite:
    """What a write did. ``path`` is the file, or the directory when several were written; sizes in bytes.

    ``versions`` has the version of each session ("" for an unpartitioned table). ``changed`` counts the files that
    held something else before, or nothing.
    """

    path: str
    files: int
    rows: int
    bytes: int
    changed: int
    versions: Versions


@dataclass(frozen=True)
class LakeVersion:
    """A content that a file had. ``replaced_at`` is tz-aware UTC; None: it is the current one."""

    version: str
    replaced_at: datetime | None
    rows: int
    bytes: int
    key: str


class Lake:
    """Tables at ``url``: a directory or e.g. ``s3://bucket/prefix``; ``storage_options`` go to fsspec.

    ``keep_days``: for how long what a file held before stays recoverable on disk (0: not at all; in S3 the bucket's
    versioning decides).

    Every write is atomic per file, so a reader sees a file's old content or its new one, also when a writer
    is killed. Of two writers of one file the last wins.

    Raises (all methods): LakeFullError, LakeNotWritableError, LakeUnavailableError for the place of the files.
    """

    def __init__(
        self, url: str, storage_options: Mapping[str, Any] | None = None, *, keep_days: int = KEEP_DAYS
    ) -> None:
        self._files = open_files(url, storage_options, keep_days=keep_days)

    @property
    def base(self) -> str:
        """Where the lake is: an absolute path or a URL."""
        return self._files.base

    def path_of(self, table: TableKey, session: str | None = None) -> str:
        """Path or URL of a file, or without ``session`` of an unpartitioned table."""
        return f"{self.base}/{_path(table, session)}"

    def write_sessions(self, table: TableKey, frame: pd.DataFrame, sessions: Sequence[str]) -> LakeWrite:
        """Replace ``sessions`` of ``table`` by the rows of ``frame``, split by its column ``session``.

        A session without rows is written too, as a file with the schema and no rows. What is unchanged is left alone.

        Raises:
            LakeSchemaError: the column ``session`` is missing, or has a value that is not in ``sessions``.
        """
        if not sessions:
            msg = f"{_name(table)}: no sessions were given to write"
            raise LakeSchemaError(msg)
        parts = _split(table, _to_arrow(table, frame), sessions)
        encoded = encode_all(parts)
        contents = {_path(table, session): content for session, (content, _) in encoded.items()}
        changed = self._files.write(contents)
        path = self.path_of(table, sessions[0]) if len(sessions) == 1 else f"{self.base}/{_name(table)}"
        versions = Versions({session: version for session, (_, version) in encoded.items()})
        return LakeWrite(path, len(contents), len(frame), sum(map(len, contents.values())), changed, versions)

    def read_sessions(
        self,
        table: TableKey,
        sessions: Sequence[str],
        *,
        columns: Sequence[str] | None = None,
        symbols: Iterable[str] | None = None,
        is_missing_ok: bool = False,
    ) -> pd.DataFrame:
        """Read ``sessions`` (many files at once), oldest first; rows of a session in the order they were written.

        ``columns`` and ``symbols`` limit what is decoded. ``attrs[VERSIONS]`` of the frame tells the version of each
        session. With ``is_missing_ok`` sessions without a file are
        skipped; if none has one the frame is empty, with the columns of another stored session if there is one.

        Raises:
            LakeMissingError: sessions have no file.
            CorruptLakeFileError: a file is not readable.
            LakeSchemaError: no file has one of ``columns``, or the files' types do not fit each other.
        """
        frame, missing = self.read_available(table, sessions, columns=columns, symbols=symbols)
        if missing and not is_missing_ok:
            msg = (
                f"{_name(table)} has no data for {len(missing)} of {len(set(sessions))} sessions ({_some(missing)}) "
                f"in {self.base}: materialize the asset {_name(table)} for them first"
            )
            raise LakeMissingError(msg, missing)
        return frame

    def read_available(
        self,
        table: TableKey,
        sessions: Sequence[str],
        *,
        columns: Sequence[str] | None = None,
        symbols: Iterable[str] | None = None,
    ) -> tuple[pd.DataFrame, list[str]]:
        """Like :meth:`read_sessions` with ``is_missing_ok``; returns also the sessions that have no file."""
        wanted = sorted(set(sessions))
        present = wanted
        if len(wanted) > LISTING_PAYS_FROM:
            stored = set(self.stored_sessions(table))
            present = [session for session in wanted if session in stored]
        found = self._read([_path(table, session) for session in present], columns, symbols)
        missing = [session for session in wanted if _path(table, session) not in found]
        if not found:
            return self._without_rows(table, columns), missing
        frame = _to_pandas(table, list(found.values()), columns)
        frame.attrs[VERSIONS] = Versions(
            {session: version_of(found[_path(table, session)].schema) for session in wanted if session not in missing}
        )
        return frame, missing

    def stored_sessions(self, table: TableKey) -> list[str]:
        """Sessions of ``table`` that have a file, oldest first."""
        matches = map(_FILE.fullmatch, self._files.names(_name(table)))
        return sorted(match[1] for match in matches if match)

    def write_table(self, table: TableKey, frame: pd.DataFrame) -> LakeWrite:
        """Replace the unpartitioned ``table``."""
        content, version = encode(_to_arrow(table, frame))
        changed = self._files.write({_path(table): content})
        return LakeWrite(self.path_of(table), 1, len(frame), len(content), changed, Versions({"": version}))

    def read_table(
        self, table: TableKey, *, columns: Sequence[str] | None = None, symbols: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Read the unpartitioned ``table``. Raises LakeMissingError, CorruptLakeFileError, LakeSchemaError."""
        found = self._read([_path(table)], columns, symbols)
        if not found:
            msg = f"{self.path_of(table)} does not exist: materialize the asset {_name(table)} first"
            raise LakeMissingError(msg)
        frame = _to_pandas(table, list(found.values()), columns)
        frame.attrs[VERSIONS] = Versions({"": version_of(found[_path(table)].schema)})
        return frame

    def versions(self, table: TableKey, session: str | None = None) -> list[LakeVersion]:
        """What is kept of a session of ``table`` (of an unpartitioned table without ``session``), the newest first.

        The first is the current one. A version that was current more than once is listed as often.
        """
        return [_described(kept) for kept in self._files.kept(_path(table, session))]

    def restore(self, table: TableKey, session: str | None, version: str) -> LakeVersion:
        """Make ``version`` (or the only one that begins so) the current content again; what it replaces is kept.

        Raises:
            LakeMissingError: no such version is kept, or several begin so.
        """
        path = _path(table, session)
        kept = {(one := _described(file)).version: (one, file) for file in reversed(self._files.kept(path))}
        matching = [found for name, found in kept.items() if name.startswith(version)]
        if len(matching) != 1:
            have = ", ".join(kept) or "none"
            msg = (
                f"{'no' if not matching else 'more than one'} version {version!r} of {path} is kept; there are: {have}"
            )
            raise LakeMissingError(msg)
        found, file = matching[0]
        self._files.write({path: file.content})
        return found

    def has_table(self, table: TableKey) -> bool:
        """Whether the unpartitioned ``table`` has been written."""
        return f"{table[1]}.parquet" in self._files.names(table[0])

    def tables(self, stage: str) -> list[str]:
        """Names of the unpartitioned tables of ``stage``, sorted."""
        return sorted(name.removesuffix(".parquet") for name in self._files.names(stage) if name.endswith(".parquet"))

    def _read(
        self, paths: Sequence[str], columns: Sequence[str] | None, symbols: Iterable[str] | None
    ) -> dict[str, pa.Table]:
        if not paths:
            return {}
        chosen = None if symbols is None else pa.array(sorted(set(symbols)), pa.string())

        def parse(path: str, source: str | bytes) -> pa.Table:
            return decode(f"{self.base}/{path}", source, columns, chosen)

        return self._files.read(paths, parse)

    def _without_rows(self, table: TableKey, columns: Sequence[str] | None) -> pd.DataFrame:
        stored = self.stored_sessions(table)
        found = self._read([_path(table, session) for session in stored[-1:]], columns, symbols=())
        if found:
            return _to_pandas(table, list(found.values()), columns)
        return pd.DataFrame(columns=list(columns or ()))


@lru_cache(maxsize=8)
def open_lake(url: str, s3_endpoint_url: str | None, keep_days: int) -> Lake:
    """The lake at ``url``; within a process the same object for the same arguments. See :class:`Lake`.

    ``s3_endpoint_url``: of an S3-compatible store; ``None``: AWS.
    """
    is_s3_compatible = s3_endpoint_url and url.startswith("s3://")
    options = {"client_kwargs": {"endpoint_url": s3_endpoint_url}} if is_s3_compatible else None
    return Lake(url, options, keep_days=keep_days)


def upsert(old: pd.DataFrame, new: pd.DataFrame, key: Sequence[str]) -> pd.DataFrame:
    """Rows of ``old`` and ``new``, one per ``key`` (the last of ``new`` wins), sorted by ``key``.

    Columns are ``new``'s, then those only ``old`` has. Upserting the same rows again changes nothing.

    Raises:
        LakeSchemaError: a frame with rows lacks a key column.
    """
    keys = list(key)
    frames = [frame for frame in (old, new) if len(frame)]
    for frame in frames:
        lacking = [name for name in keys if name not in frame.columns]
        if lacking:
            msg = f"the key {keys} needs columns {lacking}, the frame has {list(frame.columns)}"
            raise LakeSchemaError(msg)
    if not frames:
        return (new if len(new.columns) else old).reset_index(drop=True)
    if len(frames) == 2:
        frames = _aligned(*frames)
        order = [*new.columns, *(name for name in old.columns if name not in new.columns)]
        rows = pd.concat(frames, ignore_index=True)[order]
    else:
        rows = frames[0]
    return rows.drop_duplicates(keys, keep="last").sort_values(keys, kind="stable", ignore_index=True)


def _aligned(old: pd.DataFrame, new: pd.DataFrame) -> list[pd.DataFrame]:
    """Give a column that has no value at all in one frame its type from the other, so that concat keeps it."""
    casts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for name in old.columns.intersection(new.columns):
        if old[name].dtype == new[name].dtype:
            continue
        if old[name].isna().all():
            casts[0][name] = _with_nothing(new[name].dtype)
        elif new[name].isna().all():
            casts[1][name] = _with_nothing(old[name].dtype)
    return [frame.astype(types) if types else frame for frame, types in zip((old, new), casts, strict=True)]


def _with_nothing(dtype: Any) -> Any:
    """The type nearest to ``dtype`` that can hold "nothing"."""
    return (
        {"i": "float64", "u": "float64", "b": "boolean"}.get(dtype.kind, dtype)
        if isinstance(dtype, np.dtype)
        else dtype
    )


def _name(table: TableKey) -> str:
    stage, name = table
    for part in (stage, name):
        if not _NAME.fullmatch(part):
            msg = f"{part!r} can't be a name in the lake: use letters, digits, '_', '-' and '.'"
            raise LakeSchemaError(msg)
    return f"{stage}/{name}"


def _path(table: TableKey, session: str | None = None) -> str:
    if session is None:
        return f"{_name(table)}.parquet"
    try:
        is_session = date.fromisoformat(session).isoformat() == session
    except ValueError:
        is_session = False
    if not is_session:
        msg = f"{session!r} is not a session: write it as YYYY-MM-DD"
        raise LakeSchemaError(msg)
    return f"{_name(table)}/session={session}.parquet"


def _some(sessions: Sequence[str]) -> str:
    if len(sessions) <= 6:
        return ", ".join(sessions)
    return f"{', '.join(sessions[:3])} … {', '.join(sessions[-2:])}"


def _to_arrow(table: TableKey, frame: pd.DataFrame) -> pa.Table:
    if frame.index.nlevels > 1 or frame.index.name is not None:
        msg = f"{_name(table)}: the frame's index {list(frame.index.names)} would be lost: call reset_index() first"
        raise LakeSchemaError(msg)
    bare = frame.copy(deep=False)
    bare.attrs = {}  # they would be written into the file
    try:
        return pa.Table.from_pandas(bare, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        msg = f"{_name(table)}: a column has values of several types, or of one Parquet does not know: {error}"
        raise LakeSchemaError(msg) from error


def _split(table: TableKey, rows: pa.Table, sessions: Sequence[str]) -> dict[str, pa.Table]:
    if SESSION not in rows.column_names:
        msg = f"{_name(table)}: the frame has no column {SESSION!r} (ISO dates as strings): {rows.column_names}"
        raise LakeSchemaError(msg)
    if not rows.num_rows:
        return dict.fromkeys(sessions, rows)
    values = rows.column(SESSION)
    if not pa.types.is_string(values.type) and not pa.types.is_large_string(values.type):
        msg = f"{_name(table)}: the column {SESSION!r} holds {values.type}, not ISO dates as strings"
        raise LakeSchemaError(msg)
    strangers = sorted(map(str, set(values.unique().to_pylist()) - set(sessions)))
    if strangers:
        msg = (
            f"{_name(table)}: the frame has rows of {_some(strangers)}, which {'is' if len(strangers) == 1 else 'are'} "
            f"not among the {len(sessions)} sessions to write ({_some(sorted(sessions))})"
        )
        raise LakeSchemaError(msg)
    if len(sessions) == 1:
        return {sessions[0]: rows}
    ordered = rows.take(pc.sort_indices(rows, sort_keys=[(SESSION, "ascending")]))  # stable
    counts = {item["values"]: item["counts"] for item in pc.value_counts(values).to_pylist()}
    parts = {}
    start = 0
    for session in sorted(set(sessions)):
        parts[session] = ordered.slice(start, counts.get(session, 0))
        start += counts.get(session, 0)
    return parts


def _described(kept: KeptFile) -> LakeVersion:
    with pq.ParquetFile(pa.BufferReader(kept.content)) as file:
        version = version_of(file.schema_arrow.with_metadata(file.metadata.metadata))
        return LakeVersion(version, kept.replaced_at, file.metadata.num_rows, len(kept.content), kept.key)


def _to_pandas(table: TableKey, parts: list[pa.Table], columns: Sequence[str] | None) -> pd.DataFrame:
    try:
        rows = parts[0] if len(parts) == 1 else pa.concat_tables(parts, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        msg = f"the files of {_name(table)} have different types ({error}): materialize the older sessions again"
        raise LakeSchemaError(msg) from error
    if columns is not None:
        lacking = [name for name in columns if name not in rows.column_names]
        if lacking:
            msg = f"{_name(table)} has no columns {lacking}; it has {rows.column_names}"
            raise LakeSchemaError(msg)
        rows = rows.select(list(columns))
    frame: pd.DataFrame = rows.combine_chunks().to_pandas()  # in one chunk equal strings become one object
    return frame
