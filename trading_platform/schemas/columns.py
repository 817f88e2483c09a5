"""What Dagit shows of each table's columns, derived from the Pandera models without importing them each time."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module, metadata
from pathlib import Path
from typing import TypedDict

from trading_platform.import_cache import cached

MODULES = ("market_data", "features", "signals", "orders", "portfolio")


class Column(TypedDict):
    """One column: its type as pandas names it, whether it may be null or must be unique, and its meaning."""

    name: str
    type: str
    description: str
    is_nullable: bool
    is_unique: bool


def columns_of(table: str) -> list[Column]:
    """Columns of the table model ``table``, e.g. "ValidatedBars".

    Raises:
        KeyError: no such model.
    """
    return _tables()[table]


@lru_cache(maxsize=1)
def _tables() -> dict[str, list[Column]]:
    tables: dict[str, list[Column]] = cached("columns", _key(), _derive)
    return tables


def _key() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return metadata.version("pandera") + "".join(path.read_text() for path in sources)


def _derive() -> dict[str, list[Column]]:
    from trading_platform.schemas.base import Table

    tables: dict[str, list[Column]] = {}
    for module in MODULES:
        for model in vars(import_module(f"trading_platform.schemas.{module}")).values():
            if isinstance(model, type) and issubclass(model, Table) and model is not Table:
                tables[model.__name__] = [
                    Column(
                        name=str(name),
                        type=str(column.dtype),
                        description=column.description or "",
                        is_nullable=bool(column.nullable),
                        is_unique=bool(column.unique),
                    )
                    for name, column in model.to_schema().columns.items()
                ]
    return tables
