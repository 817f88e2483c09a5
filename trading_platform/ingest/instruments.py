"""Ask the broker what it knows of instruments. One bad symbol never costs the others."""

from __future__ import annotations

from collections.abc import Sequence

from trading_platform.brokers.base import Broker, BrokerConnectionError, BrokerError, UnknownInstrumentError
from trading_platform.domain.instruments import Instrument, InstrumentDetails


def resolve_instruments(
    broker: Broker, instruments: Sequence[Instrument]
) -> tuple[list[InstrumentDetails], list[dict[str, str]]]:
    """Details of the instruments that the broker knows, and symbol and reason of those it has no answer for.

    Raises:
        UnknownInstrumentError: it knows none of them.
        BrokerConnectionError: the broker can't be reached.
    """
    answers = [(instrument.symbol, _details(broker, instrument)) for instrument in instruments]
    found = [answer for _, answer in answers if isinstance(answer, InstrumentDetails)]
    unknown = [{"symbol": name, "reason": str(answer)} for name, answer in answers if isinstance(answer, BrokerError)]
    if not found and unknown:
        msg = "the broker knows none of the instruments: " + "; ".join(row["reason"] for row in unknown[:3])
        raise UnknownInstrumentError(msg)
    return found, unknown


def _details(broker: Broker, instrument: Instrument) -> InstrumentDetails | BrokerError:
    try:
        return broker.instrument_details(instrument)
    except BrokerConnectionError:
        raise
    except BrokerError as error:
        return error
