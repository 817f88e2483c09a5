"""The framing of messages and the spelling of fields."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.paper_gateway.wire import (
    MAX_FRAME_BYTES,
    UNSET_DOUBLE,
    Field,
    FieldReader,
    ProtocolError,
    encode_field,
    encode_frame,
    read_payload,
    split_fields,
)

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
FIELDS = st.one_of(
    TEXT,
    st.integers(-(2**63), 2**63),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=8),
)


async def _payloads(data: bytes, count: int) -> list[bytes]:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return [await read_payload(stream) for _ in range(count)]


@given(st.lists(st.lists(FIELDS, min_size=1, max_size=20), min_size=1, max_size=5))
def test_what_is_framed_is_read_back_field_by_field(messages: list[list[Field]]) -> None:
    data = b"".join(encode_frame(message) for message in messages)
    payloads = asyncio.run(_payloads(data, len(messages)))
    assert [split_fields(payload) for payload in payloads] == [
        [encode_field(field) for field in message] for message in messages
    ]


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12))
def test_a_decimal_keeps_its_value_and_has_no_exponent(value: Decimal) -> None:
    text = encode_field(value)
    assert Decimal(text) == value
    assert "E" not in text.upper()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_keeps_its_value(value: float) -> None:
    assert float(encode_field(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "1"),
        (False, "0"),
        (5.0, "5"),
        (0.1, "0.1"),
        (Decimal("1E+2"), "100"),
        (Decimal("442.460"), "442.46"),
        (Decimal("1e-8"), "0.00000001"),
        ("BUY", "BUY"),
    ],
)
def test_values_are_spelled_as_tws_does(value: Field, text: str) -> None:
    assert encode_field(value) == text


def test_a_nul_inside_a_field_is_refused() -> None:
    with pytest.raises(ProtocolError, match="NUL"):
        encode_field("AA\0PL")


@pytest.mark.parametrize("length", [0, MAX_FRAME_BYTES + 1, 0x47455420])
def test_an_absurd_length_is_refused(length: int) -> None:
    with pytest.raises(ProtocolError, match="bytes"):
        asyncio.run(_payloads(length.to_bytes(4, "big"), 1))


@pytest.mark.parametrize("payload", [b"1\0abc", b"\xff\xfe\0", b""])
def test_a_payload_that_is_not_fields_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        split_fields(payload)


def test_a_reader_gives_typed_fields_and_empty_ones_for_those_left_out() -> None:
    reader = FieldReader(["7", "AAPL", "1", "", "1.5", UNSET_DOUBLE, "true"])
    assert reader.request_id() == reader.request == 7
    assert reader.text() == "AAPL"
    assert reader.boolean() is True
    assert reader.integer() == 0
    assert reader.decimal() == Decimal("1.5")
    assert reader.decimal() is None
    assert reader.boolean() is True
    assert (reader.text(), reader.integer(), reader.decimal(), reader.boolean()) == ("", 0, None, False)


@pytest.mark.parametrize(
    ("read", "text"), [("integer", "x"), ("decimal", "x"), ("decimal", "NaN"), ("decimal", "-Infinity")]
)
def test_an_unreadable_number_is_named(read: str, text: str) -> None:
    with pytest.raises(ProtocolError, match=f"'{text}'"):
        getattr(FieldReader([text]), read)()
