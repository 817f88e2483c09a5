"""Messages about the session itself: errors, ids, accounts, the time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.messages.ids import Outgoing

if TYPE_CHECKING:
    from trading_platform.paper_gateway.wire import Field

FARMS = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefil"),
)
"""What TWS tells every client right after it started: good news with error codes."""


def error(request_id: int, code: int, text: str) -> list[Field]:
    """An error, a warning or a notice; request -1 means the session as a whole."""
    return [Outgoing.ERROR, 2, request_id, code, text, ""]


def next_valid_id(order_id: int) -> list[Field]:
    """The lowest order id the client may use."""
    return [Outgoing.NEXT_VALID_ID, 1, order_id]


def managed_accounts(account: str) -> list[Field]:
    """The accounts the client may use."""
    return [Outgoing.MANAGED_ACCOUNTS, 1, account]


def current_time(now: datetime) -> list[Field]:
    """The gateway's clock in whole seconds since 1970."""
    return [Outgoing.CURRENT_TIME, 1, int(now.timestamp())]


def user_info(request_id: int, brand: str) -> list[Field]:
    """The user's white-branding id."""
    return [Outgoing.USER_INFO, request_id, brand]
