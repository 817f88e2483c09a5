"""The command that lists and restores versions: what it prints, and what it says to bad input."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from trading_platform.cli import main
from trading_platform.settings import get_settings
from trading_platform.storage.lake import Lake
from trading_platform_tests.storage.test_lake import BARS, DAYS, bars

TABLE = "/".join(BARS)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """The lake of the settings, with two versions of one session."""
    monkeypatch.setenv("TRADING_PLATFORM_LAKE_URL", str(tmp_path))
    get_settings.cache_clear()
    made = Lake(str(tmp_path))
    for close in (1.0, 2.0):
        made.write_sessions(BARS, bars(DAYS[:1], close=close), DAYS[:1])
    return made


def call(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["lake", *words])
    get_settings.cache_clear()
    return done.exit_code, done.output


def test_the_versions_of_a_session_are_listed_and_one_is_put_back(lake: Lake) -> None:
    now, before = lake.versions(BARS, DAYS[0])
    status, text = call("versions", TABLE, "--session", DAYS[0])
    first, second = text.splitlines()
    assert status == 0
    assert first.startswith(f"{now.version}  current")
    assert second.startswith(f"{before.version}  until 2")
    assert "2 rows" in second
    status, text = call("restore", TABLE, before.version[:5], "--session", DAYS[0])
    assert (status, f"is version {before.version} again" in text) == (0, True)
    assert set(lake.read_sessions(BARS, DAYS[:1])["close"]) == {1.0}


def test_what_is_not_there_is_one_sentence(lake: Lake) -> None:
    assert call("versions", TABLE, "--session", DAYS[1]) == (0, f"nothing is stored for {TABLE}, session {DAYS[1]}\n")
    status, text = call("restore", TABLE, "ffff", "--session", DAYS[0])
    assert status == 1
    assert "error: no version 'ffff'" in text
    status, text = call("versions", "daily_raw_bars")
    assert status == 1
    assert "write stage/table" in text
    assert "write it as YYYY-MM-DD" in call("versions", TABLE, "--session", "yesterday")[1]
