"""The TWS socket protocol: frames and fields. Knows nothing of what messages mean.

A frame is a four-byte big-endian length and a payload; a payload is a sequence of text fields, each ended
by a NUL. Numbers travel as text, a missing value as an empty field.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from enum import IntEnum

Field = str | int | float | bool | Decimal | None
Fields = Sequence[Field]

GREETING = b"API\0"
MAX_FRAME_BYTES = 1 << 20
UNSET_DOUBLE = "1.7976931348623157E308"
"""How TWS spells "no value" in fields that must be numbers."""

_LENGTH = struct.Struct(">I")


class ProtocolError(Exception):
    """The peer sent something that is not the TWS protocol, or a field that can't be read."""


def encode_field(value: Field) -> str:
    """Spell one value as TWS does: booleans as 1 and 0, decimals without an exponent, None as nothing.

    Raises:
        ProtocolError: the text contains a NUL, which would shift every field after it.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, IntEnum):
        return str(int(value))
    if isinstance(value, Decimal):
        return _plain(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = str(value)
    if "\0" in text:
        msg = f"the field {text!r} contains a NUL"
        raise ProtocolError(msg)
    return text


def encode_frame(fields: Iterable[Field]) -> bytes:
    """Return the bytes of one message on the wire."""
    payload = "".join(f"{encode_field(field)}\0" for field in fields).encode()
    return _LENGTH.pack(len(payload)) + payload


def split_fields(payload: bytes) -> list[str]:
    """Split a payload into its fields.

    Raises:
        ProtocolError: the payload is not text, or its last field is not ended.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        msg = "the payload is not UTF-8 text"
        raise ProtocolError(msg) from error
    if not text.endswith("\0"):
        msg = "the last field of the payload is not ended by a NUL"
        raise ProtocolError(msg)
    return text[:-1].split("\0")


async def read_payload(stream: asyncio.StreamReader) -> bytes:
    """Read one frame and return its payload.

    Raises:
        ProtocolError: the length is zero or absurd.
        asyncio.IncompleteReadError: the peer closed the connection.
    """
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    if not 0 < length <= MAX_FRAME_BYTES:
        msg = f"a frame of {length} bytes was announced; at most {MAX_FRAME_BYTES} are allowed"
        raise ProtocolError(msg)
    return await stream.readexactly(length)


class FieldReader:
    """Reads the fields of one message in their order. Fields the peer left out read as empty."""

    def __init__(self, fields: Iterable[str]) -> None:
        self._fields = list(fields)
        self._position = 0
        self.request = -1

    def text(self) -> str:
        """The next field as it is."""
        if self._position >= len(self._fields):
            return ""
        self._position += 1
        return self._fields[self._position - 1]

    def integer(self) -> int:
        """The next field as a whole number, 0 when empty."""
        text = self.text()
        try:
            return int(text) if text else 0
        except ValueError:
            raise self._unreadable(text, "a whole number") from None

    def decimal(self) -> Decimal | None:
        """The next field as a finite decimal, None when empty or spelled as TWS's "unset"."""
        text = self.text()
        if not text:
            return None
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise self._unreadable(text, "a number") from None
        if not value.is_finite():
            raise self._unreadable(text, "a finite number")
        return None if value > Decimal("1e300") else value

    def boolean(self) -> bool:
        """The next field as a flag: true for 1 and true."""
        return self.text().lower() in ("1", "true")

    def skip(self, count: int = 1) -> None:
        """Pass over ``count`` fields."""
        self._position += count

    def request_id(self) -> int:
        """The next field as the id of the request, remembered in ``request`` for error messages."""
        self.request = self.integer()
        return self.request

    def _unreadable(self, text: str, wanted: str) -> ProtocolError:
        return ProtocolError(f"field {self._position} is {text!r}, which is not {wanted}")


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
