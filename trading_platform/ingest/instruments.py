"""Ask the broker what it knows of instruments. One unknown symbol never costs the others."""

from __future__ import annotations

from collections.abc import Sequence

from trading_platform.brokers.base import Broker, UnknownInstrumentError
from trading_platform.domain.instruments import Instrument, InstrumentDetails


def resolve_instruments(
    broker: Broker, instruments: Sequence[Instrument]
) -> tuple[list[InstrumentDetails], list[dict[str, str]]]:
    """Details of the instruments that the broker knows, and symbol and reason of those it does not.

    Raises:
        UnknownInstrumentError: it knows none of them.
    """
    found: list[InstrumentDetails] = []
    unknown: list[dict[str, str]] = []
    for instrument in instruments:
        try:
            found.append(broker.instrument_details(instrument))
        except UnknownInstrumentError as error:
            unknown.append({"symbol": instrument.symbol, "reason": str(error)})
    if not found and unknown:
        msg = "the broker knows none of the instruments: " + "; ".join(row["reason"] for row in unknown[:3])
        raise UnknownInstrumentError(msg)
    return found, unknown
