"""Fixtures of these tests."""

from trading_platform_tests.storage.ledger.fixtures import ledger, ledger_url, migrated_url

__all__ = ["ledger", "ledger_url", "migrated_url"]
