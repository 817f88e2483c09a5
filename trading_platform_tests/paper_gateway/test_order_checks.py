from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import cast

import pytest

from trading_platform.paper_gateway.model import Action, Contract, OrderTicket
from trading_platform.paper_gateway.order_checks import check_ticket
from trading_platform_tests.paper_gateway.venue_kit import AAPL, ACCOUNT, BTC, et, ticket

NOW = et("10:00")
FOREX = replace(AAPL, security_type="CASH", symbol="EUR")


@pytest.mark.parametrize(
    ("contract", "order", "code"),
    [
        (AAPL, replace(ticket("BUY", 1), account="DU9"), 321),
        (AAPL, replace(ticket("BUY", 1), action=cast(Action, "SSHORT")), 303),
        (FOREX, ticket("BUY", 1), 203),
        (replace(AAPL, currency="GBP"), ticket("BUY", 1), 203),
        (AAPL, ticket("BUY", 1, "REL"), 387),
        (AAPL, ticket("BUY", 1, ""), 387),
        (AAPL, ticket("BUY", 1, "TRAIL"), 321),
        (AAPL, replace(ticket("BUY", 1, "TRAIL", stop="1"), trailing_percent=Decimal(1)), 321),
        (AAPL, replace(ticket("BUY", 1, "TRAIL"), trailing_percent=Decimal(100)), 321),
        (AAPL, replace(ticket("BUY", 1, "TRAIL", stop="1"), trail_stop_price=Decimal("1.001")), 110),
        (AAPL, ticket("BUY", 1, "LOC"), 107),
        (AAPL, replace(ticket("BUY", 1, "MOC"), time_in_force="GTC"), 10052),
        (BTC, ticket("BUY", 1, "MOC"), 387),
        (AAPL, ticket("BUY", 0), 434),
        (AAPL, ticket("BUY", -5), 434),
        (AAPL, ticket("BUY", "1.5"), 10318),
        (BTC, ticket("BUY", "0.00015"), 355),
        (replace(BTC, min_size=Decimal("0.001")), ticket("BUY", "0.0005"), 388),
        (AAPL, ticket("BUY", 1, "LMT"), 107),
        (AAPL, ticket("BUY", 1, "LMT", limit="0"), 107),
        (AAPL, ticket("BUY", 1, "STP"), 403),
        (AAPL, ticket("BUY", 1, "STP LMT", stop="100"), 107),
        (AAPL, ticket("BUY", 1, "LMT", limit="100.005"), 110),
        (AAPL, ticket("BUY", 1, "STP", stop="100.001"), 110),
        (AAPL, ticket("BUY", 1, "STP LMT", limit="100", stop="99.999"), 110),
        (AAPL, replace(ticket("BUY", 1), time_in_force="FOK"), 10052),
        (AAPL, replace(ticket("BUY", 1), time_in_force="GTD"), 334),
        (AAPL, replace(ticket("BUY", 1), time_in_force="GTD", good_till=NOW), 334),
    ],
)
def test_a_bad_ticket_is_refused_with_the_documented_code(contract: Contract, order: OrderTicket, code: int) -> None:
    refusal = check_ticket(contract, order, ACCOUNT, NOW)
    assert refusal is not None
    assert refusal.code == code
    assert refusal.text


@pytest.mark.parametrize(
    ("contract", "order"),
    [
        (AAPL, replace(ticket("BUY", 1), account=ACCOUNT)),
        (AAPL, ticket("SELL", 100, "LMT", limit="100.01")),
        (AAPL, ticket("BUY", 1, "STP LMT", limit="100", stop="99.99")),
        (AAPL, replace(ticket("BUY", 1), time_in_force="GTD", good_till=NOW + timedelta(hours=1))),
        (BTC, ticket("BUY", "0.0123")),
        (AAPL, replace(ticket("BUY", 1), limit_price=Decimal("0.001"))),
    ],
)
def test_a_good_ticket_passes(contract: Contract, order: OrderTicket) -> None:
    assert check_ticket(contract, order, ACCOUNT, NOW) is None
