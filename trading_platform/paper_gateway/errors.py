"""TWS error codes as the paper gateway uses them, and the exception that carries one to a client."""

from __future__ import annotations

from typing import NoReturn

HISTORY_PREFIX = "Historical Market Data Service error message:"


class RequestError(Exception):
    """A request is refused: the dispatcher answers it with this code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def refuse_invalid(cause: str) -> NoReturn:
    """Refuse with 321: the request doesn't pass validation."""
    raise RequestError(321, f"Error validating request.-'bV' : cause - {cause}")


def refuse_processing(cause: str) -> NoReturn:
    """Refuse with 322: the request was understood, but can't be served."""
    raise RequestError(322, f"Error processing request.-'bX' : cause - {cause}")


def refuse_unknown_contract() -> NoReturn:
    """Refuse with 200: no contract fits the description."""
    raise RequestError(200, "No security definition has been found for the request")


def refuse_ambiguous_contract(symbol: str) -> NoReturn:
    """Refuse with 200: several contracts fit the description."""
    raise RequestError(200, f"The contract description specified for {symbol} is ambiguous.")


def refuse_history(text: str) -> NoReturn:
    """Refuse with 162: the historical data farm has nothing, or refuses."""
    raise RequestError(162, f"{HISTORY_PREFIX}{text}")
