"""Message codes to typed errors."""

from __future__ import annotations

import pytest

from trading_platform.brokers.base import (
    BrokerConnectionError,
    BrokerError,
    NoDataError,
    PacingError,
    ReadOnlyError,
    UnknownInstrumentError,
)
from trading_platform.brokers.ibkr import errors


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (162, "Historical Market Data Service error message:HMDS query returned no data: X", NoDataError),
        (162, "Historical data request pacing violation", PacingError),
        (162, "something else", BrokerError),
        (322, "Only 50 simultaneous API historical data requests allowed.", PacingError),
        (322, "cause - Only 10 simultaneous API scanner subscriptions are allowed.", PacingError),
        (322, "cause - something else", BrokerError),
        (100, "Max rate of messages per second has been exceeded", PacingError),
        (420, "Invalid Real-time Query:Historical data request pacing violation", PacingError),
        (200, "No security definition has been found for the request", UnknownInstrumentError),
        (354, "Requested market data is not subscribed", NoDataError),
        (321, "The API interface is currently in Read-Only mode", ReadOnlyError),
        (321, "Error validating request", BrokerError),
        (504, "Not connected", BrokerConnectionError),
        (2110, "Connectivity is broken", BrokerConnectionError),
        (99999, "never heard of", BrokerError),
    ],
)
def test_a_refused_read_gets_the_error_of_its_code(code: int, text: str, expected: type[BrokerError]) -> None:
    error = errors.request_error(code, text, "bars of X")
    assert type(error) is expected
    assert str(error).startswith(f"bars of X: IBKR answered {code}, {text}")


@pytest.mark.parametrize("code", [201, 203, 321, 110, 387, 434, 10289, 200])
def test_rejections(code: int) -> None:
    assert errors.is_order_rejection(code)
    assert not errors.is_warning(code)


@pytest.mark.parametrize("code", [399, 404, 2100, 2109, 2158, 10349, 165])
def test_warnings(code: int) -> None:
    assert errors.is_warning(code)
    assert not errors.is_order_rejection(code)


@pytest.mark.parametrize("code", [104, 105, 161, 202, 322, 504, 10147, 10148, 1100, 99999])
def test_codes_that_prove_nothing_are_neither(code: int) -> None:
    assert not errors.is_order_rejection(code)
    assert not errors.is_warning(code)
