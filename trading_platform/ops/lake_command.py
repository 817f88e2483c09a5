"""``trading-platform lake``: what the lake keeps of a file, and putting an older version back."""

from __future__ import annotations

from trading_platform.ops.local import configured_lake
from trading_platform.settings import Settings
from trading_platform.storage.lake import LakeVersion, TableKey
from trading_platform.storage.lake_files import LakeError


class LakeCommandError(LakeError):
    """The command names no table."""


def list_versions(settings: Settings, table: str, session: str | None) -> str:
    """One line per version that is kept, the newest first.

    Raises:
        LakeCommandError: ``table`` is not written as stage/table.
        LakeError: the lake can't be read.
    """
    kept = configured_lake(settings).versions(_key(table), session)
    if not kept:
        return f"nothing is stored for {_place(table, session)}"
    return "\n".join(_line(one) for one in kept)


def restore_version(settings: Settings, table: str, session: str | None, version: str) -> str:
    """Make ``version`` the current content again; return a sentence.

    Raises:
        LakeCommandError: ``table`` is not written as stage/table.
        LakeMissingError: no such version is kept.
        LakeError: the lake can't be read or written.
    """
    restored = configured_lake(settings).restore(_key(table), session, version)
    return (
        f"{_place(table, session)} is version {restored.version} again ({restored.rows} rows); what it replaced is "
        "kept. Materialize what is downstream of it again"
    )


def _key(table: str) -> TableKey:
    stage, _, name = table.partition("/")
    if not stage or not name or "/" in name:
        msg = f"{table!r} names no table: write stage/table, e.g. market_data/daily_validated_bars"
        raise LakeCommandError(msg)
    return stage, name


def _place(table: str, session: str | None) -> str:
    return f"{table}, session {session}" if session else table


def _line(kept: LakeVersion) -> str:
    until = f"until {kept.replaced_at:%Y-%m-%d %H:%M:%S} UTC" if kept.replaced_at else "current"
    return f"{kept.version or '(none)':16}  {until:29}  {kept.rows:>9,} rows  {kept.bytes:>12,} bytes"
