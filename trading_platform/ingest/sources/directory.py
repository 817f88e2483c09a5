"""A directory of Parquet or CSV files as a source, local or in an object store behind fsspec."""

from __future__ import annotations

import contextlib
import glob
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from trading_platform.domain.market_data.sources import EPOCHS, Columns, DirectoryPlace, SourceDeclaration
from trading_platform.domain.suggestions import did_you_mean
from trading_platform.ingest.sources.base import SourceError, SourceUnavailableError
from trading_platform.ingest.sources.declared import (
    BESIDE,
    NUMBERS,
    STAMP,
    SYMBOL,
    DeclaredSource,
    SharedRows,
    Window,
)

ALL_TIME = Window(pd.Timestamp("1900-01-01", tz="UTC"), pd.Timestamp("2200-01-01", tz="UTC"))
_STORE_LIBRARIES = {"botocore", "aiobotocore", "aiohttp", "s3fs", "fsspec"}


def directory_source(
    name: str, declaration: SourceDeclaration, symbols: Sequence[str], storage_options: Mapping[str, Any] | None = None
) -> DeclaredSource:
    """The source ``name``. ``symbols`` are ours that will be asked for; ``storage_options`` go to fsspec."""
    theirs = [declaration.name_of(symbol) for symbol in symbols]
    return DeclaredSource(name, declaration, DirectoryRows(name, declaration, theirs, storage_options or {}))


class DirectoryRows:
    """Rows of files. Where files hold all symbols they are read once per window, for all symbols that are wanted.

    What a file held when it was read is what counts as long as this object lives, which is one run.
    """

    def __init__(
        self, name: str, declaration: SourceDeclaration, symbols: Sequence[str], storage_options: Mapping[str, Any]
    ) -> None:
        if declaration.directory is None:
            msg = f"source {name} has no directory"
            raise ValueError(msg)
        self._name = name
        self._place: DirectoryPlace = declaration.directory
        self._reader = _FileReader(declaration)
        wanted = list(dict.fromkeys(symbols))
        self._shared = SharedRows(lambda window: self._read_files(self._place.files, window, wanted))
        self._options = storage_options
        self._lock = threading.Lock()
        self._opened: tuple[Any, str] | None = None

    def read(self, name: str, window: Window) -> tuple[pd.DataFrame, int]:
        """The rows of the symbol called ``name`` there, and how many files were read for them.

        Raises:
            SourceError: no file, or one that can't be read; of shared files it costs every symbol, for nobody knows
                whose bars it holds.
            SourceUnavailableError: the directory is not there, or the store does not answer.
        """
        if self._place.is_by_symbol:
            if "/" in name or name in ("", ".", ".."):
                msg = f"source {self._name}: {name!r} can't be part of a file name; say under symbols what it is there"
                raise SourceError(msg)
            return self._read_files(self._place.files_of(glob.escape(name)), window, None)
        # a text file is read whole anyway: whatever window comes next, it has been read
        return self._shared.read(name, ALL_TIME if self._place.is_csv else window)

    def _read_files(self, pattern: str, window: Window, symbols: list[str] | None) -> tuple[pd.DataFrame, int]:
        with self._store_errors():
            with self._lock:
                store, root = self._open()
            paths = sorted(store.glob(f"{glob.escape(root)}/{pattern}"))
        if not paths:
            msg = f"source {self._name}: there is no file {pattern} in {self._place.location}"
            raise SourceError(msg)
        frames = []
        for path in paths:
            with self._store_errors(), store.open(path, "rb", compression="infer") as file:
                frames.append(self._read_file(path, file, window, symbols))
        filled = [frame for frame in frames if len(frame)]
        return (pd.concat(filled, ignore_index=True) if filled else frames[0]), len(paths)

    def _read_file(self, path: str, file: Any, window: Window, symbols: list[str] | None) -> pd.DataFrame:
        read = self._reader.csv if self._place.is_csv else self._reader.parquet
        try:
            table = read(file, window, symbols)
        except (pa.ArrowException, ValueError, EOFError, OSError, zlib.error) as error:
            if isinstance(error, OSError) and (error.errno is not None or isinstance(error, TimeoutError)):
                raise  # the disk's or the store's, not the content's
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            msg = f"source {self._name}: {path} is damaged or no such file ({reason}); write it again or remove it"
            raise SourceError(msg) from error
        except SourceError as error:
            msg = f"source {self._name}: {path}: {error}"
            raise SourceError(msg) from error
        return _frame(table)

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            import fsspec

            options = {"use_listings_cache": False, **self._options} if "://" in self._place.location else {}
            try:
                store, root = fsspec.core.url_to_fs(self._place.location, **options)
            except (ValueError, ImportError) as error:
                msg = (
                    f"source {self._name}: the location {self._place.location!r} is not understood ({error}); "
                    "use a directory or s3://bucket/prefix"
                )
                raise SourceUnavailableError(msg) from error
            if not store.isdir(root):
                msg = f"source {self._name}: there is no directory {self._place.location}; correct location, or make it"
                raise SourceUnavailableError(msg)
            self._opened = store, root.rstrip("/")
        return self._opened

    @contextlib.contextmanager
    def _store_errors(self) -> Iterator[None]:
        """Errors of disks and stores in words. Reading one file fails for one symbol, unless nobody answers."""
        try:
            yield
        except SourceError:
            raise
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            msg = f"source {self._name}: {self._place.location} can't be read ({error}); check path and permissions"
            raise SourceError(msg) from error
        except Exception as error:
            # botocore and aiohttp share no base class with OSError, and neither need be installed
            if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in _STORE_LIBRARIES:
                raise
            msg = (
                f"source {self._name}: {self._place.location} does not answer ({type(error).__name__}: {error}); "
                "check location, TRADING_PLATFORM_S3_ENDPOINT_URL and the credentials"
            )
            raise SourceUnavailableError(msg) from error


class _FileReader:
    """Reads one open file: the columns that are wanted and, where the format allows it, the rows."""

    def __init__(self, declaration: SourceDeclaration) -> None:
        self._columns: Columns = declaration.columns
        self._format = declaration.stamp_format
        self._zone = ZoneInfo(declaration.time_zone or "UTC")
        self._place = declaration.directory

    def parquet(self, file: Any, window: Window, symbols: list[str] | None) -> pa.Table:
        """The rows near ``window``; row groups that hold none are not read."""
        schema = pq.read_schema(file)
        wanted = self._wanted(schema.names, symbols)
        for ours in NUMBERS:
            kind = schema.field(wanted[ours]).type
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
                msg = f"the column {wanted[ours]!r} is {kind}, not numbers; write the file with numbers"
                raise SourceError(msg)
        conditions = self._near(schema.field(wanted[STAMP]), window)
        if symbols is not None:
            kind = schema.field(wanted[SYMBOL]).type
            if pa.types.is_string(kind) or pa.types.is_large_string(kind):
                conditions.append(pc.field(wanted[SYMBOL]).isin(pa.array(symbols, kind)))
        where = None
        for condition in conditions:
            where = condition if where is None else where & condition
        file.seek(0)
        table = pq.read_table(file, columns=list(wanted.values()), filters=where, partitioning=None)
        return table.select(list(wanted.values())).rename_columns(list(wanted))

    def csv(self, file: Any, window: Window, symbols: list[str] | None) -> pa.Table:
        """All rows of the wanted symbols: text has no statistics. A price that is no number stays text."""
        del window
        content = file.read()
        names = self._parse_csv(content[: max(content.find(b"\n"), 0) or len(content)] + b"\n", {}, None).column_names
        wanted = self._wanted(names, symbols)
        text = {wanted[STAMP]: self._csv_stamp()}
        if symbols is not None:
            text[wanted[SYMBOL]] = pa.string()
        numbers = {wanted[ours]: pa.float64() for ours in NUMBERS}
        try:
            table = self._parse_csv(content, {**text, **numbers}, list(wanted.values()))
        except pa.ArrowInvalid:
            # one cell that is no number must cost its own symbol only
            table = self._parse_csv(content, {**text, **dict.fromkeys(numbers, pa.string())}, list(wanted.values()))
            empty = pa.array(pacsv.ConvertOptions().null_values, pa.string())
            for name in numbers:
                cells = table[name]
                cells = pc.if_else(pc.is_in(cells, empty), pa.scalar(None, pa.string()), cells)
                table = table.set_column(table.schema.get_field_index(name), name, cells)
        table = table.rename_columns(list(wanted))
        if symbols is not None:
            table = table.filter(pc.is_in(table[SYMBOL], pa.array(symbols, pa.string())))
        return table

    def _csv_stamp(self) -> pa.DataType:
        return pa.int64() if self._format in EPOCHS else pa.string()

    def _parse_csv(self, content: bytes, types: Mapping[str, pa.DataType], columns: list[str] | None) -> pa.Table:
        delimiter = "," if self._place is None else self._place.delimiter
        return pacsv.read_csv(
            pa.BufferReader(content.removeprefix(b"\xef\xbb\xbf")),
            parse_options=pacsv.ParseOptions(delimiter=delimiter),
            convert_options=pacsv.ConvertOptions(
                column_types=dict(types), include_columns=columns, strings_can_be_null=False
            ),
        )

    def _wanted(self, names: Sequence[str], symbols: list[str] | None) -> dict[str, str]:
        """Our names and theirs of the columns to read.

        Raises:
            SourceError: one is not there.
        """
        wanted = {STAMP: self._columns.stamp, **self._columns.numbers}
        if symbols is not None:
            wanted[SYMBOL] = self._columns.symbol
        for ours, theirs in wanted.items():
            if theirs not in names:
                key = f"columns.{ours}"
                hint = did_you_mean(theirs, names) or f"; there are {', '.join(names)}"
                msg = f"there is no column {theirs!r}{hint}. Name it under {key}"
                raise SourceError(msg)
        return wanted

    def _near(self, field: pa.Field, window: Window) -> list[Any]:
        """Conditions that the stamps of the window's bars fulfil; none for text, which need not sort by time."""
        first, last = window.first - BESIDE, window.last + BESIDE
        kind, column = field.type, pc.field(field.name)
        if pa.types.is_timestamp(kind):
            if kind.tz is None:
                first, last = (one.tz_convert(self._zone).tz_localize(None) for one in (first, last))
            bounds = [pa.scalar(one.floor("s").to_pydatetime(), kind) for one in (first, last)]
        elif pa.types.is_date(kind):
            bounds = [pa.scalar(one.date(), kind) for one in (first, last)]
        elif pa.types.is_integer(kind) and self._format is not None and self._format in EPOCHS:
            bounds = [pa.scalar(one.value // EPOCHS[self._format], kind) for one in (first, last)]
        else:
            return []
        # a row without a stamp is nobody's to drop
        return [((column >= bounds[0]) & (column <= bounds[1])) | column.is_null()]


def _frame(table: pa.Table) -> pd.DataFrame:
    """For pandas: dates as wall times at midnight, decimals as floats, dictionaries as what they stand for."""
    for position, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_date(kind):
            kind = pa.timestamp("s")
        elif pa.types.is_decimal(kind):
            kind = pa.float64()
        if kind != field.type:
            table = table.set_column(position, field.name, table.column(position).cast(kind))
    frame: pd.DataFrame = table.to_pandas()
    return frame
