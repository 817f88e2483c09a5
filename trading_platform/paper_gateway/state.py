"""What the paper market must not forget, as values, and their form in the state file (flat JSON documents)."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar, cast

from trading_platform.paper_gateway.account import Position
from trading_platform.paper_gateway.model import Contract, PaperExecution, PaperOrder

T = TypeVar("T")


@dataclass(frozen=True)
class Header:
    """The account's single facts. ``stepped_at`` is the moment up to which the market has been played."""

    account: str
    cash: Decimal
    next_perm_id: int
    next_execution: int
    stepped_at: datetime


@dataclass
class Changes:
    """What one operation changed; saved in one transaction. A position with quantity zero is removed."""

    header: Header
    orders: list[PaperOrder] = field(default_factory=list)
    executions: list[PaperExecution] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)


@dataclass(frozen=True)
class SavedState:
    """Everything read back from a state file, executions oldest first."""

    header: Header
    orders: list[PaperOrder]
    executions: list[PaperExecution]
    positions: list[Position]


def encode(value: object) -> str:
    """A dataclass as a JSON document; its contract is written as the contract's id only."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def decode(kind: type[T], document: str, contracts: Mapping[int, Contract]) -> T:
    """Read a document written by :func:`encode`.

    Raises:
        ValueError, KeyError, TypeError: the document is not one of ``kind``.
    """
    return _build(kind, json.loads(document), contracts)


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            item.name: part.con_id if isinstance(part := getattr(value, item.name), Contract) else _plain(part)
            for item in dataclasses.fields(value)
        }
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def _build(kind: type[T], document: Mapping[str, Any], contracts: Mapping[int, Contract]) -> T:
    hints = _hints(cast(Hashable, kind))
    # A field the document lacks is newer than the file and takes its default.
    return kind(**{name: _read(hints[name], part, contracts) for name, part in document.items()})


def _read(hint: Any, part: Any, contracts: Mapping[int, Contract]) -> Any:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        if part is None:
            return None
        hint = next(choice for choice in typing.get_args(hint) if choice is not type(None))
    if hint is Contract:
        return contracts[part]
    if hint is Decimal:
        return Decimal(part)
    if hint is datetime:
        return datetime.fromisoformat(part)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _build(hint, part, contracts)
    return part


@lru_cache(maxsize=16)
def _hints(kind: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(kind)
