"""Facts derived once: the same key gives the stored value, a new key a new one, a bad file none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from trading_platform.import_cache import cached
from trading_platform.settings import ENV_PREFIX, get_settings


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv(ENV_PREFIX + "HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield tmp_path / "home"
    get_settings.cache_clear()


def never() -> object:
    raise AssertionError


def test_a_value_is_derived_once_for_a_key():
    assert cached("facts", "1.0", lambda: {"days": [1, 2]}) == {"days": [1, 2]}
    assert cached("facts", "1.0", never) == {"days": [1, 2]}


def test_a_new_key_is_derived_anew_and_names_do_not_mix():
    cached("facts", "1.0", lambda: "old")
    assert cached("facts", "1.1", lambda: "new") == "new"
    assert cached("others", "1.0", lambda: "other") == "other"
    assert cached("facts", "1.0", never) == "old"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00"])
def test_a_file_cut_short_is_derived_again_and_mended(home, content):
    cached("facts", "1.0", lambda: "good")
    (file,) = (home / "cache").glob("facts-*.json")
    file.write_bytes(content)
    assert cached("facts", "1.0", lambda: "good again") == "good again"
    assert cached("facts", "1.0", never) == "good again"


def test_a_home_that_can_not_be_written_only_costs_time(home):
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file where the home should be")
    assert cached("facts", "1.0", lambda: 1) == 1
    assert cached("facts", "1.0", lambda: 2) == 2


def test_nothing_half_written_is_left_behind(home):
    cached("facts", "1.0", lambda: "x" * 1000)
    assert [path.suffix for path in (home / "cache").iterdir()] == [".json"]
