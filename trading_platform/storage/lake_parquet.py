"""One file of the lake: Parquet with its version in the footer, and what is read of it.

The version is the digest of the file in which the version's own place is all zeros, so the same rows make the same
version wherever the file is, and a file can be checked against it.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trading_platform.storage.lake_files import LakeError, in_threads

SYMBOL = "symbol"
ROW_GROUP = 32_768
"""Rows per row group. Files are sorted by symbol as a rule, so few groups have to be read for one symbol."""
_VERSION = b"lake_version"
_NO_VERSION = b"0" * 16


class LakeSchemaError(LakeError):
    """A frame does not fit the table, or the table's files do not fit each other."""


class CorruptLakeFileError(LakeError):
    """A file of the lake is not readable Parquet."""


def encode_all(parts: Mapping[str, pa.Table]) -> dict[str, tuple[bytes, str]]:
    """Content and version of each session. Sessions without rows share theirs: a quarantine has thousands."""
    empty = next((session for session, part in parts.items() if not part.num_rows), "")
    distinct = [session for session, part in parts.items() if part.num_rows or session == empty]
    # Arrow lets go of the interpreter meanwhile
    encoded = dict(zip(distinct, in_threads(encode, [parts[session] for session in distinct]), strict=True))
    return {session: encoded[session if part.num_rows else empty] for session, part in parts.items()}


def encode(rows: pa.Table) -> tuple[bytes, str]:
    """The Parquet file of ``rows``, and its version: the digest of the file in which the version is all zeros."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, rows.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(rows, row_group_size=ROW_GROUP)
        writer.add_key_value_metadata({_VERSION.decode(): _NO_VERSION.decode()})
    content: bytes = sink.getvalue().to_pybytes()
    version = hashlib.blake2b(content, digest_size=len(_NO_VERSION) // 2).hexdigest()
    start = content.rindex(_VERSION)
    end = content.index(_NO_VERSION, start)
    return content[:end] + version.encode() + content[end + len(_NO_VERSION) :], version


def version_of(schema: pa.Schema) -> str:
    """The version in a file's footer; "" for a file that was written without."""
    version: bytes = (schema.metadata or {}).get(_VERSION, b"")
    return version.decode()


def decode(path: str, source: str | bytes, columns: Sequence[str] | None, symbols: pa.Array | None) -> pa.Table:
    """Read one file; ``source`` is its path or its bytes. Columns that it lacks are left out."""
    try:
        with pq.ParquetFile(
            pa.OSFile(source) if isinstance(source, str) else pa.BufferReader(source),
            page_checksum_verification=True,
            pre_buffer=False,
        ) as file:
            needed = None
            if columns is not None:
                needed = [*columns, *([SYMBOL] if symbols is not None and SYMBOL not in columns else [])]
            rows = file.read_row_groups(_groups_with(file.metadata, symbols), columns=needed, use_threads=False)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        msg = f"{path} is not readable Parquet ({error}): delete the file and materialize its session again"
        raise CorruptLakeFileError(msg) from error
    if symbols is not None:
        if SYMBOL not in rows.column_names:
            msg = f"{path} has no column {SYMBOL!r} to choose symbols by"
            raise LakeSchemaError(msg)
        if rows.num_rows:  # a column of no values has no type, and nothing can be looked for in it
            rows = rows.filter(pc.is_in(rows.column(SYMBOL), value_set=symbols))
        if needed is not None and SYMBOL not in (columns or ()):
            rows = rows.drop_columns([SYMBOL])
    return rows


def _groups_with(metadata: pq.FileMetaData, symbols: pa.Array | None) -> list[int]:
    """Row groups that may have rows of ``symbols`` (sorted), by their statistics."""
    groups = list(range(metadata.num_row_groups))
    if symbols is None or len(groups) < 2 or SYMBOL not in metadata.schema.names:
        return groups
    wanted = symbols.to_pylist()
    column = metadata.schema.names.index(SYMBOL)

    def may_have(group: int) -> bool:
        statistics = metadata.row_group(group).column(column).statistics
        if statistics is None or not statistics.has_min_max:
            return True
        first = bisect_left(wanted, statistics.min)
        return first < len(wanted) and wanted[first] <= statistics.max

    return [group for group in groups if may_have(group)]
