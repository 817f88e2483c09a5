"""The ledger resource is thin and lazy."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest

from trading_platform.resources.ledger import LedgerResource
from trading_platform.settings import get_settings
from trading_platform.storage.ledger import Ledger, LedgerUnavailableError


def test_importing_and_making_the_resource_imports_no_alembic_and_no_ledger():
    code = (
        "import sys\n"
        "from trading_platform.resources.ledger import LedgerResource\n"
        "LedgerResource(database_url='postgresql+psycopg2://nowhere/none')\n"
        "heavy = [name for name in sys.modules if name.startswith('trading_platform.storage')]\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_asset_gets_the_ledger(database_url):
    Ledger(database_url).migrate()

    @dg.asset
    def halts(ledger: LedgerResource) -> int:
        return len(ledger.ledger.active_halts("DU1"))

    result = dg.materialize([halts], resources={"ledger": LedgerResource(database_url=database_url)})
    assert result.output_for_node("halts") == 0


def test_without_a_url_it_says_what_to_set(monkeypatch):
    monkeypatch.delenv("TRADING_PLATFORM_LEDGER_DATABASE_URL", raising=False)
    get_settings.cache_clear()
    with pytest.raises(LedgerUnavailableError, match="TRADING_PLATFORM_LEDGER_DATABASE_URL"):
        _ = LedgerResource().ledger
    get_settings.cache_clear()
