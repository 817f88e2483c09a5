"""The market scanner on the wire: what a client asks for, and the ranked list that it gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from trading_platform.paper_gateway.market.scanner import LOCATIONS, SCAN_CODES
from trading_platform.paper_gateway.messages.ids import Outgoing
from trading_platform.paper_gateway.model import Contract

if TYPE_CHECKING:
    from trading_platform.paper_gateway.wire import Field, FieldReader

INSTRUMENT = "STK"
FILTER_TAGS = ("priceAbove", "priceBelow", "volumeAbove", "changePercAbove", "changePercBelow")
_ONLY_BONDS_HAVE = 9
"""Ratings, maturities, coupons, and whether convertible ones are left out."""


@dataclass(frozen=True)
class ScannerRequest:
    """A scanner subscription, in TWS's words; ``None`` is "not said". ``options`` are the filters given by tag."""

    request_id: int
    rows: int
    instrument: str
    location: str
    scan_code: str
    above_price: float | None
    below_price: float | None
    above_volume: float | None
    stock_type: str
    options: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, reader: FieldReader) -> ScannerRequest:
        """Read reqScannerSubscription."""
        request_id, rows = reader.request_id(), reader.integer()
        instrument, location, scan_code = reader.text(), reader.text(), reader.text()
        above_price, below_price, above_volume = _number(reader), _number(reader), _number(reader)
        reader.skip(2)  # market capitalization: the paper market knows none
        reader.skip(_ONLY_BONDS_HAVE)
        reader.skip(2)  # option volume, setting pairs
        return cls(
            request_id,
            rows,
            instrument,
            location,
            scan_code,
            above_price,
            below_price,
            above_volume,
            stock_type=reader.text(),
            options=tuple(_tags(reader.text())),
        )


def _number(reader: FieldReader) -> float | None:
    value = reader.decimal()
    return None if value is None else float(value)


def _tags(text: str) -> Iterable[tuple[str, str]]:
    """Pairs of ``tag=value;tag=value;``."""
    for pair in filter(None, text.split(";")):
        tag, _, value = pair.partition("=")
        yield tag, value


def scanner_data(request_id: int, contracts: Sequence[Contract]) -> list[Field]:
    """The whole ranked list in one message; the best has rank 0."""
    fields: list[Field] = [Outgoing.SCANNER_DATA, 3, request_id, len(contracts)]
    for rank, contract in enumerate(contracts):
        fields += [
            rank,
            contract.con_id,
            contract.symbol,
            contract.security_type,
            "",  # expiry
            0,  # strike
            "",  # right
            contract.exchange,
            contract.currency,
            contract.local_symbol,
            contract.trading_class,  # market name
            contract.trading_class,
            "",  # distance
            "",  # benchmark
            "",  # projection
            "",  # legs of a combination
        ]
    return fields


def scanner_parameters() -> list[Field]:
    """What can be scanned for, as the XML that TWS sends, with the few entries that there are here."""
    root = Xml.Element("ScanParameterResponse")
    instrument = Xml.SubElement(Xml.SubElement(root, "InstrumentList"), "Instrument")
    _texts(instrument, name="US Stocks", type=INSTRUMENT, filters=",".join(FILTER_TAGS))
    locations = Xml.SubElement(root, "LocationTree")
    for code in LOCATIONS:
        location = Xml.SubElement(locations, "Location")
        _texts(location, displayName=code, locationCode=code, instruments=INSTRUMENT)
    scans = Xml.SubElement(root, "ScanTypeList")
    for code, (name, _) in SCAN_CODES.items():
        _texts(Xml.SubElement(scans, "ScanType"), displayName=name, scanCode=code, instruments=INSTRUMENT)
    return [Outgoing.SCANNER_PARAMETERS, 1, Xml.tostring(root, encoding="unicode")]


def _texts(parent: Xml.Element, **texts: str) -> None:
    for name, text in texts.items():
        Xml.SubElement(parent, name).text = text
