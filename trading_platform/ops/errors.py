"""Which errors are the user's to mend: they are shown as one sentence. Everything else is a bug with a traceback."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from trading_platform.settings import ENV_PREFIX

EXPLAINED = (
    ("trading_platform.ops.local", "LocalPlatformError"),
    ("trading_platform.ops.databases", "DatabaseDownError"),
    ("trading_platform.ops.gateway_process", "GatewayStartError"),
    ("trading_platform.ops.dev_command", "DevError"),
    ("trading_platform.ops.health", "UnhealthyError"),
    ("trading_platform.ops.migrate", "MigrationError"),
    ("trading_platform.ops.bucket", "BucketError"),
    ("trading_platform.ops.quarantine_command", "QuarantineError"),
    ("trading_platform.ops.watch_command", "WatchError"),
    ("trading_platform.brokers.base", "BrokerError"),
    ("trading_platform.execution.kill_switch", "NoReasonError"),
    ("trading_platform.storage.embedded_postgres", "EmbeddedPostgresError"),
    ("trading_platform.storage.ledger", "LedgerError"),
    ("trading_platform.storage.lake", "LakeError"),
    ("trading_platform.storage.mlflow_database", "MlflowDatabaseError"),
    ("trading_platform.specs.parsing", "SpecError"),
    ("trading_platform.domain.tickers", "TickerError"),
    ("trading_platform.specs.loader", "UnknownSymbolError"),
    ("trading_platform.domain.signals.loading", "StrategyError"),
    ("trading_platform.domain.features.registry", "UnknownFeatureError"),
    ("trading_platform.domain.backtest.exchange", "UnsupportedOrderError"),
    ("trading_platform.paper_gateway.server", "GatewayError"),
    ("trading_platform.paper_gateway.store", "StoreError"),
    ("trading_platform.paper_gateway.market.datasets", "DatasetError"),
)
"""Modules and error classes. A module that was never imported can't have raised, and is not imported for this."""


def explain(error: Exception) -> str | None:
    """The sentence to show for ``error``, or ``None`` when it is a bug."""
    for module_name, class_name in EXPLAINED:
        module = sys.modules.get(module_name)
        known = getattr(module, class_name, None) if module is not None else None
        if isinstance(known, type) and isinstance(error, known):
            return str(error)
    if type(error).__name__ == "ValidationError" and getattr(error, "title", None) == "Settings":
        return "; ".join(_setting_error(case) for case in error.errors())  # type: ignore[attr-defined]  # pydantic's
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename or 'the system'}: {error.strerror}"
    return None


def _setting_error(case: Mapping[str, Any]) -> str:
    name = "_".join(str(part) for part in case["loc"][:1])
    said = "" if name.endswith(("_url", "_uri")) else f" (it says {case['input']!r})"
    return f"{ENV_PREFIX}{name.upper()}: {case['msg']}{said}"
