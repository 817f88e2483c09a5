"""Where the real market data for tests is, if it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """The file ``name`` of ``../shared/data``; skips the test, saying so, where it is absent."""
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"the real market data ../shared/data/{name} is not here")
    return path
