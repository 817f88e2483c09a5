"""The user's errors become sentences; bugs keep their traceback."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from trading_platform.brokers.base import NotAGatewayError
from trading_platform.ops.errors import explain
from trading_platform.ops.local import LocalPlatformError
from trading_platform.settings import Settings


def test_our_own_errors_are_their_sentence() -> None:
    assert explain(LocalPlatformError("free some space")) == "free some space"
    assert explain(NotAGatewayError("no gateway")) == "no gateway"


def test_a_wrong_setting_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_PLATFORM_PAPER_SEED", "many")
    with pytest.raises(ValidationError) as caught:
        Settings()
    sentence = explain(caught.value)
    assert sentence is not None
    assert sentence.startswith("TRADING_PLATFORM_PAPER_SEED: ")
    assert "'many'" in sentence


def test_a_bug_is_not_explained_away() -> None:
    class Model(BaseModel):
        number: int

    assert explain(KeyError("x")) is None
    with pytest.raises(ValidationError) as caught:
        Model(number="x")  # type: ignore[arg-type]  # on purpose
    assert explain(caught.value) is None


def test_the_system_s_errors_name_their_file() -> None:
    assert explain(FileNotFoundError(2, "No such file or directory", "/there")) == "/there: No such file or directory"
