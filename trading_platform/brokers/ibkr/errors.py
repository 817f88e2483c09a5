"""From IBKR's message codes to the platform's typed errors. Pure tables and functions."""

from __future__ import annotations

from trading_platform.brokers.base import (
    BrokerConnectionError,
    BrokerError,
    NoDataError,
    PacingError,
    ReadOnlyError,
    UnknownInstrumentError,
)

CLIENT_ID_IN_USE = 326
CONNECTIVITY_LOST = 1100
CONNECTIVITY_RESTORED = frozenset({1101, 1102})
ORDER_CANCELLED = 202
CANCEL_REFUSED = frozenset({135, 136, 161, 10147, 10148, 10149})
"""The order is unknown, done, or not in a state in which it can be cancelled."""

_WARNINGS = frozenset(
    {
        165,  # historical data service message
        399,  # order message, e.g. "will not be placed at the exchange until 09:30"
        404,  # shares are being located; the order is held, not refused
        492,  # a combination may be executed in parts
        10167,  # delayed market data is shown
        10349,  # time in force was set by an order preset
    }
)

_ORDER_REJECTIONS = frozenset(
    {
        103,  # duplicate order id
        *range(106, 108),  # can't be transmitted; incomplete
        *range(109, 112),  # price out of range; price increment; time in force and type incompatible
        *range(113, 117),  # time in force, relative orders, dead exchange
        132,  # no clearing account
        *range(140, 142),  # size or price is not a number
        144,  # allocation does not add up
        145,  # a field does not validate
        146,  # trigger method
        147,  # conditional contract incomplete
        148,  # conditional order of a wrong type
        152,  # hidden orders not allowed
        154,  # the security is halted
        163,  # beyond the percentage constraint of the presets
        200,  # no such contract, or several
        201,  # order rejected - reason:
        203,  # not available or allowed for this account
        *range(320, 322),  # the request can't be read; the request does not validate
        334,  # good-till date
        355,  # size does not conform to the market rule
        *range(382, 384),  # limits of the presets
        *range(387, 389),  # order type unsupported; size below the minimum
        392,  # contract expired
        403,  # stop price
        406,  # currency not allowed
        412,  # contract not available for trading
        421,  # route
        *range(434, 437),  # size zero; no account; no allocation
        10006,  # parent order missing
        10052,  # time in force not valid here
        *range(10243, 10246),  # fractional sizes are not taken through the API
        10268,  # a deprecated order attribute
        10269,
        10270,
        10289,  # crypto market orders need a cash quantity
        10311,  # direct routing blocked by a precautionary setting
        10318,  # no fractional quantity for this order
    }
)
"""Codes that come with a new order's id and mean: it was not and will not be placed.

Anything not listed is *no* verdict. The list is short on purpose: a missing code costs a reconciliation, a
wrong one could cost a second order.
"""

_PACING = frozenset({100, 420})
_NO_MARKET_DATA = frozenset({354, 10089, 10090, 10091, 10168, 10186, 10189, 10197})
_GATEWAY_DISCONNECTED = frozenset({502, 503, 504, 1100, 1300, 2110})


def is_warning(code: int) -> bool:
    """Whether the code is a notice that decides nothing."""
    return code in _WARNINGS or 2100 <= code < 2200


def is_order_rejection(code: int) -> bool:
    """Whether the code, sent for an order that was just placed, means that it never became live."""
    return code in _ORDER_REJECTIONS


def request_error(code: int, text: str, what: str) -> BrokerError:
    """The typed error for a refused *read*. ``what`` names the request, e.g. "historical bars of AAPL"."""
    kind, advice = _kind_of(code, text.lower())
    said = f"{what}: IBKR answered {code}, {text.strip()}"
    return kind(f"{said}. {advice}" if advice else said)


def _kind_of(code: int, text: str) -> tuple[type[BrokerError], str]:
    for applies, kind, advice in (
        (
            code in _PACING or (code == 162 and "pacing" in text) or (code == 322 and "simultaneous" in text),
            PacingError,
            "Too many requests: wait, then ask again",
        ),
        (
            code == 322 and "scanner subscriptions" in text,
            PacingError,
            "Other scans of the login are not cancelled yet: wait, then ask again",
        ),
        (
            code == 162 and ("no data" in text or "returned no" in text),
            NoDataError,
            "Check the dates, the trading hours and the exchange",
        ),
        (code == 200, UnknownInstrumentError, "Check symbol, security type, exchange and currency"),
        (code in _NO_MARKET_DATA, NoDataError, "Check the account's market data subscriptions and competing sessions"),
        (
            code == 321 and "read-only" in text,
            ReadOnlyError,
            "Switch off Read-Only API in the gateway's settings (READ_ONLY_API=no)",
        ),
        (
            code in _GATEWAY_DISCONNECTED,
            BrokerConnectionError,
            "The gateway has no connection to IBKR: wait until it has",
        ),
    ):
        if applies:
            return kind, advice
    return BrokerError, ""
