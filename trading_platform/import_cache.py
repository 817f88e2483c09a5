"""Facts that are slow to derive and needed at import: kept as JSON beside the platform's state.

Every run of a schedule is a new process that imports the definitions, so what they need of pandas, Pandera
and exchange_calendars (column schemas, holidays) is derived once and read back afterwards. The key names
what the facts depend on; a changed key derives them anew. A home that can't be written only costs time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from trading_platform.settings import get_settings


def cached(name: str, key: str, derive: Callable[[], Any]) -> Any:
    """Return ``derive()``, or what it returned the last time it was called with the same ``key``.

    The value must survive JSON.
    """
    digest = sha256(key.encode()).hexdigest()[:16]
    path = get_settings().home.absolute() / "cache" / f"{name}-{digest}.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        pass  # absent, unreadable or cut short: derive it
    value = derive()
    _store(path, value)
    return value


def _store(path: Path, value: Any) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(value))
        temporary.replace(path)
    except OSError:
        return  # a read-only or full home: the facts are derived again next time
