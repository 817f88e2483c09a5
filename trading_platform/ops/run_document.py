"""What a run of the main job did, as one document: the summary on screen and ``--json`` say the same.

The keys are documented in docs/run-document.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict


class AssetOutcome(TypedDict):
    """``status`` is "materialized", "failed" or "skipped"; ``rows`` is None where there are none to count."""

    status: str
    rows: int | None


class CheckOutcome(TypedDict):
    """One evaluated asset check. ``severity`` is "ERROR" or "WARN"."""

    asset: str
    check: str
    passed: bool
    severity: str


@dataclass
class RunDocument:
    """The document. Prices and amounts are USD, times ISO 8601 in UTC.

    ``failures`` are sentences about what should have happened and did not: empty means exit status 0.
    """

    as_of: str
    session: str
    account: str
    mode: str
    market: str
    sessions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    assets: dict[str, AssetOutcome] = field(default_factory=dict)
    checks: list[CheckOutcome] = field(default_factory=list)
    signals: list[dict[str, Any]] = field(default_factory=list)
    intents: list[dict[str, Any]] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    fills: list[dict[str, Any]] = field(default_factory=list)
    positions: list[dict[str, Any]] = field(default_factory=list)
    equity: float | None = None
    new_orders: int = 0
    outcomes: dict[str, str] = field(default_factory=dict)
    dagster_runs: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def is_success(self) -> bool:
        """Whether everything that should have happened did."""
        return not self.failures

    def to_json(self) -> str:
        """The document as JSON without NaN."""
        return json.dumps({**self.__dict__, "success": self.is_success}, indent=2, allow_nan=False, default=str)

    def checks_failed(self, severity: str) -> Sequence[CheckOutcome]:
        """Failed checks of one severity."""
        return [check for check in self.checks if not check["passed"] and check["severity"] == severity]
