"""A TWS server of a few lines, for answers that no sane gateway gives: it records what comes and follows a script."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

Message = tuple[object, ...]
Script = Callable[[list[str]], Any]
"""Fields received → a message, a list of messages, or None for silence."""

HANG_UP: Message = ("hang up",)
START_API = "71"
PLACE_ORDER = "3"
CANCEL_ORDER = "4"


def error(request_id: object, code: int, text: str = "scripted") -> Message:
    return (4, 2, request_id, code, text, "")


def order_status(
    order_id: object, status: str, *, perm_id: int = 77, filled: float = 0, client_id: int = 10
) -> Message:
    return (3, order_id, status, filled, 0, 12.5 if filled else 0, perm_id, 0, 0, client_id, "", 0)


class ScriptedGateway:
    """Listens on a free loopback port. ``scripts`` maps a message's number to what is answered.

    Unless scripted otherwise, it names ``accounts`` after startApi, has no open orders and tells the time.
    """

    def __init__(self, accounts: str = "DU1", version: int = 176, scripts: dict[str, Script] | None = None) -> None:
        self.received: list[list[str]] = []
        self.arrivals: list[float] = []
        self.connections = 0
        self._version = version
        self._scripts: dict[str, Script] = {
            START_API: lambda _: [(15, 1, accounts), (9, 1, 100)],
            "16": lambda _: (53, 1),
            "49": lambda _: (49, 1, 1_700_000_000),
            **(scripts or {}),
        }
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> ScriptedGateway:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def numbers(self) -> list[str]:
        """The numbers of the messages received so far, in order."""
        return [fields[0] for fields in self.received]

    def count(self, number: str) -> int:
        """How many messages of this number were received."""
        return self.numbers().count(number)

    def send(self, message: Message) -> None:
        """Send a message on the newest connection, unasked."""
        self._sockets[-1].sendall(_frame(message))

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        with contextlib.suppress(OSError, EOFError):
            assert stream.read(4) == b"API\0"
            _read_frame(stream.read)
            connection.sendall(_frame((self._version, "20260105 10:00:00 EST")))
            while True:
                fields = _read_frame(stream.read).decode().split("\0")[:-1]
                self.received.append(fields)
                self.arrivals.append(time.monotonic())
                script = self._scripts.get(fields[0])
                answer = script(fields) if script else None
                for message in _listed(answer):
                    if message is HANG_UP:
                        connection.shutdown(socket.SHUT_RDWR)
                        return
                    connection.sendall(_frame(message))


def _listed(answer: Any) -> list[Message]:
    if answer is None:
        return []
    return answer if isinstance(answer, list) else [answer]


def _frame(message: Message) -> bytes:
    payload = "".join(f"{field}\0" for field in message).encode()
    return struct.pack(">I", len(payload)) + payload


def _read_frame(read: Callable[[int], bytes]) -> bytes:
    head = read(4)
    if len(head) < 4:
        raise EOFError
    return read(struct.unpack(">I", head)[0])
