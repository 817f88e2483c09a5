"""Alembic migrations of the ledger's schema. Applied by ``Ledger.migrate``; nothing here is imported at run time."""
