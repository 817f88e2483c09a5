"""A TCP proxy between client and gateway that can lose a connection at any byte, in either direction.

It runs as a process of its own and is told what to do through a pipe: the next connection that is opened is cut,
or goes silent, after so many bytes. What came before the cut is delivered, half a message included.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal

_CHUNK = 1 << 16
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Cut:
    """Where the next connection ends: ``after_bytes`` of one direction have been delivered.

    ``reset``: both sides see the connection end at once. ``silence``: nothing of that direction is delivered any
    more and nobody is told, as when a cable is pulled.
    """

    direction: Literal["to gateway", "to client"]
    after_bytes: int
    how: Literal["reset", "silence"] = "reset"


@dataclass(frozen=True)
class Passed:
    """One connection that has ended: the bytes delivered each way, and the cut that struck it, if one did."""

    to_gateway: int
    to_client: int
    struck: Cut | None


class _Proxy:
    def __init__(self, gateway_port: int, control: Connection) -> None:
        self.gateway_port = gateway_port
        self.control = control
        self.planned: Cut | None = None

    async def serve(self, port: int) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        asyncio.get_running_loop().add_reader(self.control.fileno(), self._told)
        self.control.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    def _told(self) -> None:
        try:
            self.planned = self.control.recv()
        except EOFError:
            raise SystemExit from None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cut, self.planned = self.planned, None
        try:
            gateway_reader, gateway_writer = await asyncio.open_connection("127.0.0.1", self.gateway_port)
        except OSError:
            writer.transport.abort()
            self.planned = self.planned or cut
            return
        outward = _Direction(reader, gateway_writer, cut if cut and cut.direction == "to gateway" else None)
        inward = _Direction(gateway_reader, writer, cut if cut and cut.direction == "to client" else None)
        pumps = [asyncio.create_task(direction.pump()) for direction in (outward, inward)]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        is_cut = outward.is_cut or inward.is_cut
        for each in (writer, gateway_writer):
            _reset(each) if is_cut else each.close()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        self.control.send(Passed(outward.delivered, inward.delivered, cut if is_cut else None))


@dataclass
class _Direction:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    cut: Cut | None
    delivered: int = 0
    is_cut: bool = False

    async def pump(self) -> None:
        """Deliver until the end or the cut."""
        with suppress(ConnectionError):
            while data := await self.reader.read(_CHUNK):
                if self.is_cut:
                    continue  # silence: read and forget
                if self.cut is not None and self.delivered + len(data) >= self.cut.after_bytes:
                    data = data[: self.cut.after_bytes - self.delivered]
                    self.is_cut = True
                self.writer.write(data)
                await self.writer.drain()
                self.delivered += len(data)
                if self.is_cut and self.cut is not None and self.cut.how == "reset":
                    return


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, as a crash does, after what was written has gone out."""
    opened: socket.socket | None = writer.get_extra_info("socket")
    if opened is not None and opened.fileno() >= 0:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.close()


def serve_proxy(gateway_port: int, control: Connection) -> None:
    """Run the proxy until the pipe is closed. The first message sent is the port it listens on."""
    asyncio.run(_Proxy(gateway_port, control).serve(0))
