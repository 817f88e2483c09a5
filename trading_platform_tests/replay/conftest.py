"""Each replay has a ledger of its own."""

from trading_platform_tests.storage.ledger.fixtures import ledger_url, migrated_url

__all__ = ["ledger_url", "migrated_url"]
