"""Which errors are the user's to mend: they are shown as one sentence. Everything else is a bug with a traceback."""

from __future__ import annotations

import sys

EXPLAINED = (
    ("trading_platform.ops.local", "LocalPlatformError"),
    ("trading_platform.ops.gateway_process", "GatewayStartError"),
    ("trading_platform.brokers.base", "BrokerError"),
    ("trading_platform.storage.embedded_postgres", "EmbeddedPostgresError"),
    ("trading_platform.storage.ledger", "LedgerError"),
    ("trading_platform.storage.lake", "LakeError"),
    ("trading_platform.storage.mlflow_database", "MlflowDatabaseError"),
    ("trading_platform.specs.loader", "SpecError"),
    ("trading_platform.specs.loader", "UnknownSymbolError"),
    ("trading_platform.paper_gateway.server", "GatewayError"),
    ("trading_platform.paper_gateway.store", "StoreError"),
    ("trading_platform.paper_gateway.market.datasets", "DatasetError"),
    ("pydantic", "ValidationError"),
)
"""Modules and error classes. A module that was never imported can't have raised, and is not imported for this."""


def explain(error: Exception) -> str | None:
    """The sentence to show for ``error``, or ``None`` when it is a bug."""
    for module_name, class_name in EXPLAINED:
        module = sys.modules.get(module_name)
        known = getattr(module, class_name, None) if module is not None else None
        if isinstance(known, type) and isinstance(error, known):
            return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename or 'the system'}: {error.strerror}"
    return None
