"""One scan of the market: a subscription that is cancelled as soon as its first list is there, or never comes.

The library's own ``reqScannerDataAsync`` forgets to cancel when the request fails or times out, and IBKR allows ten
subscriptions at a time: whoever leaks them gets no scan any more.
"""

# mypy: untyped-calls-exclude=ib_insync

from __future__ import annotations

from typing import TYPE_CHECKING

from ib_insync.objects import ScanDataList, ScannerSubscription

from trading_platform.brokers.base import BrokerError, ScanRefusedError
from trading_platform.brokers.ibkr import translate
from trading_platform.brokers.ibkr.connection import Connection
from trading_platform.domain.instruments import BrokerNames
from trading_platform.domain.market_data.scans import Scan, ScanRow

if TYPE_CHECKING:
    from ib_insync.contract import ScanData


async def scan(connection: Connection, wanted: Scan) -> tuple[ScanRow, ...]:
    """The ranked list, best first. Empty where nothing fits: IBKR then says so (165) and sends a list without rows.

    Raises:
        ScanRefusedError: the broker does not serve the scan code, the location or a filter.
        PacingError: too many subscriptions are active.
        BrokerTimeoutError: no list in time.
    """
    subscription = _subscription(wanted)
    request_ids: list[int] = []

    def send(request_id: int) -> None:
        request_ids.append(request_id)
        connection.client.reqScannerSubscription(request_id, subscription, [], [])

    try:
        answer: list[ScanData] = await connection.ask(f"scan {wanted}", send, container=ScanDataList())
    except BrokerError as error:
        if type(error) is not BrokerError:
            raise
        msg = f"{error}. Check scan code and location, and whether the account has market data for it"
        raise ScanRefusedError(msg) from error
    finally:
        # also after a refusal: cancelling what is not there does no harm, and a slot that is lost is lost for good
        if connection.is_open:
            for request_id in request_ids:
                connection.client.cancelScannerSubscription(request_id)
    rows = sorted(answer, key=lambda row: row.rank)[: wanted.limit]
    return tuple(_row(place, row, connection.config.names) for place, row in enumerate(rows, start=1))


def _subscription(wanted: Scan) -> ScannerSubscription:
    asked = ScannerSubscription(
        numberOfRows=wanted.limit, instrument="STK", locationCode=wanted.location, scanCode=wanted.scan_code
    )
    if wanted.above_price is not None:
        asked.abovePrice = wanted.above_price
    if wanted.below_price is not None:
        asked.belowPrice = wanted.below_price
    if wanted.above_volume is not None:
        asked.aboveVolume = wanted.above_volume
    return asked


def _row(place: int, row: ScanData, names: BrokerNames) -> ScanRow:
    contract = row.contractDetails.contract
    assert contract is not None, "the decoder always sets it"
    return ScanRow(
        rank=place,
        con_id=contract.conId,
        symbol=translate.to_symbol(contract, names),
        security_type=contract.secType,
        exchange=contract.exchange,
        currency=contract.currency,
    )
