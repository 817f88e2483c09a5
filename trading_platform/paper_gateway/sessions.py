"""One API client: its connection, what it subscribed to, and what it is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from trading_platform.paper_gateway.messages import account as account_messages
from trading_platform.paper_gateway.messages import orders as order_messages
from trading_platform.paper_gateway.messages import session as session_messages
from trading_platform.paper_gateway.messages.ids import SERVER_VERSION, Incoming, Outgoing
from trading_platform.paper_gateway.messages.times import local_stamp
from trading_platform.paper_gateway.model import Announcement, Executed, HoldingChanged, OrderChanged, OrderError
from trading_platform.paper_gateway.pacing import MessageRate
from trading_platform.paper_gateway.requests.dispatch import dispatch
from trading_platform.paper_gateway.wire import (
    GREETING,
    Fields,
    ProtocolError,
    encode_frame,
    read_payload,
    split_fields,
)

if TYPE_CHECKING:
    from trading_platform.paper_gateway.hub import Hub

log = logging.getLogger(__name__)

_GREETING_SECONDS = 10.0
_MAX_BACKLOG_BYTES = 32 << 20


class Stream(Protocol):
    """A subscription that is looked at again and again."""

    interval_seconds: float

    def refresh(self) -> None:
        """Send what changed since the last time."""
        ...


class Session:
    """The server's half of one connection. Lives on the gateway's loop; nothing here is thread-safe."""

    def __init__(self, hub: Hub, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hub = hub
        self.client_id: int | None = None
        self.market_data_type = 1
        self.streams: dict[tuple[str, int], Stream] = {}
        self.has_positions = False
        self.has_account_updates = False
        self._due: dict[tuple[str, int], float] = {}
        self._silenced: set[tuple[int, int]] = set()
        self._stream = stream
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._rate = MessageRate()
        self._delayed_until = 0.0
        self._has_ended_output = False

    async def run(self) -> None:
        """Greet, then serve requests until either side ends the connection."""
        try:
            if not await self._greeted():
                return
            while True:
                fields = split_fields(await read_payload(self._stream))
                if not self._received(fields):
                    return
                await self._writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            log.debug("client %s is gone", self.client_id)
        except ProtocolError as error:
            log.warning("client %s is cut off: %s", self.client_id, error)
            self.error(-1, 507, f"Bad Message Length: {error}")
        finally:
            self.close()

    def send(self, fields: Fields) -> None:
        """Send one message, unless a fault of the moment has it otherwise."""
        message_id = fields[0]
        if not isinstance(message_id, int) or self._writer.is_closing():
            return
        delivery = self.hub.faults.outgoing(self.client_id, int(message_id), Outgoing.ORDER_STATUS)
        if delivery.cut == "before":
            self.close()
            return
        if not delivery.is_muted:
            frame = encode_frame(fields) * delivery.copies
            if delivery.delay_seconds:
                self._delayed_until = max(self._loop.time() + delivery.delay_seconds, self._delayed_until + 1e-6)
                self._loop.call_at(self._delayed_until, self._write, frame)
            else:
                self._write(frame)
        if delivery.cut == "after":
            self.close()

    def error(self, request_id: int, code: int, text: str) -> None:
        """Send an error, a warning or a notice."""
        self.send(session_messages.error(request_id, code, text))

    def register(self, client_id: int) -> None:
        """Take the client's id and tell it what it waits for: accounts, next order id, data farms."""
        hub = self.hub
        if client_id in hub.sessions:
            text = "Unable to connect as the client id is already in use. Retry with a unique client id."
            self.error(-1, 326, text)
            self.close()
        elif len(hub.sessions) >= hub.config.max_clients:
            self.error(-1, 322, f"Only {hub.config.max_clients} API clients may be connected at the same time.")
            self.close()
        else:
            self.client_id = client_id
            hub.sessions[client_id] = self
            self.send(session_messages.managed_accounts(hub.venue.account))
            self.send(session_messages.next_valid_id(hub.next_order_id(client_id)))
            for code, text in session_messages.FARMS:
                self.error(-1, code, text)

    def silence(self, order_id: int) -> None:
        """Never tell this connection what becomes of one of its orders (see faults)."""
        if self.client_id is not None:
            self._silenced.add((self.client_id, order_id))

    def announce(self, announcements: Iterable[Announcement]) -> None:
        """Tell the client what it is entitled to: its own orders, and positions if it subscribed."""
        account = self.hub.venue.account
        for news in announcements:
            if isinstance(news, HoldingChanged):
                self._announce_holding(news)
            elif isinstance(news, OrderError):
                if self._hears_of(news.client_id, news.order_id):
                    self.error(news.order_id, news.code, news.text)
            elif not self._hears_of(news.order.client_id, news.order.order_id):
                continue
            elif isinstance(news, OrderChanged):
                self.send(order_messages.open_order(news.order, account))
                self.send(order_messages.order_status(news.order))
            elif isinstance(news, Executed):
                self.send(order_messages.execution_details(-1, news.execution, account))
                self.send(order_messages.commission_report(news.execution))

    def subscribe(self, kind: str, request_id: int, stream: Stream) -> None:
        """Look at ``stream`` from now on; its first refresh is the caller's."""
        self.streams[kind, request_id] = stream
        self._due[kind, request_id] = self._loop.time() + stream.interval_seconds

    def unsubscribe(self, kind: str, request_id: int) -> bool:
        """End a subscription; False if there is none."""
        self._due.pop((kind, request_id), None)
        return self.streams.pop((kind, request_id), None) is not None

    def refresh(self, *, is_forced: bool = False) -> None:
        """Refresh the streams that are due, or all of them."""
        moment = self._loop.time()
        for key, stream in list(self.streams.items()):
            if is_forced or moment >= self._due[key]:
                self._due[key] = moment + stream.interval_seconds
                self._refresh_one(key, stream)

    def _refresh_one(self, key: tuple[str, int], stream: Stream) -> None:
        try:
            stream.refresh()
        except Exception:
            # One client's subscription must not take the gateway down; the client is told, and the log has the cause.
            kind, request_id = key
            log.exception("subscription %s %s of client %s failed and ends", kind, request_id, self.client_id)
            self.unsubscribe(kind, request_id)
            self.error(request_id, 322, f"Error processing request: the subscription ({kind}) failed and has ended")

    def close(self) -> None:
        """End the connection after everything written so far is on its way."""
        self._deregister()
        self._writer.close()

    def abort(self) -> None:
        """Cut the connection at once; what is not on its way yet is lost."""
        self._deregister()
        self._writer.transport.abort()

    def half_close(self) -> None:
        """End the server's half of the connection and go on reading."""
        self._has_ended_output = True
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def _greeted(self) -> bool:
        """Whether the peer speaks our version of the protocol. A stranger gets no answer."""
        try:
            greeting = await asyncio.wait_for(self._stream.readexactly(len(GREETING)), _GREETING_SECONDS)
            versions = await asyncio.wait_for(read_payload(self._stream), _GREETING_SECONDS) if _is(greeting) else b""
        except asyncio.TimeoutError:
            return False
        lowest, highest = _version_range(versions)
        if not lowest <= SERVER_VERSION <= highest:
            log.warning("a peer was turned away: it is no TWS API client of version %s", SERVER_VERSION)
            return False
        self._write(encode_frame([SERVER_VERSION, local_stamp(self.hub.now(), "America/New_York")]))
        return True

    def _received(self, fields: list[str]) -> bool:
        """Let one message take effect; False ends the connection."""
        if self.hub.config.pacing_enabled and not self._rate.admits(self._loop.time()):
            self.error(-1, 100, "Max rate of messages per second has been exceeded:max=50 rec=51 (1)")
            return not self._rate.is_exhausted
        message_id = int(fields[0]) if fields[0].isdecimal() else -1
        cut = self.hub.faults.incoming(self.client_id, message_id)
        if cut == "before":
            self.abort()
            return False
        if self.client_id is None and message_id != Incoming.START_API:
            self.error(-1, 504, "Not connected: the first message must be startApi")
            return False
        self._has_ended_output = self._has_ended_output or cut == "after"
        dispatch(self, message_id, fields[1:])
        if cut == "after":
            self.abort()
        return not self._writer.is_closing()

    def _announce_holding(self, news: HoldingChanged) -> None:
        hub = self.hub
        if self.has_positions:
            self.send(account_messages.position(hub.venue.account, news.holding))
        if self.has_account_updates:
            price = hub.price_of(news.holding.contract)
            self.send(account_messages.portfolio_value(hub.venue.account, news.holding, price))
            for stream_kind, request_id in list(self.streams):
                if stream_kind == "account":
                    self._refresh_one((stream_kind, request_id), self.streams[stream_kind, request_id])

    def _hears_of(self, client_id: int, order_id: int) -> bool:
        return client_id == self.client_id and (client_id, order_id) not in self._silenced

    def _write(self, frame: bytes) -> None:
        if self._writer.is_closing() or self._has_ended_output:
            return
        if self._writer.transport.get_write_buffer_size() > _MAX_BACKLOG_BYTES:
            log.warning("client %s reads too slowly and is cut off", self.client_id)
            self.abort()
            return
        self._writer.write(frame)

    def _deregister(self) -> None:
        self.streams.clear()
        self._due.clear()
        if self.client_id is not None and self.hub.sessions.get(self.client_id) is self:
            del self.hub.sessions[self.client_id]


def _is(greeting: bytes) -> bool:
    return greeting == GREETING


def _version_range(payload: bytes) -> tuple[int, int]:
    """Read "v157..178 options" or "v176"; (0, 0) for anything else."""
    lowest, _, highest = payload.partition(b" ")[0].removeprefix(b"v").partition(b"..")
    if not (lowest.isdigit() and (highest or lowest).isdigit()):
        return 0, 0
    return int(lowest), int(highest or lowest)
