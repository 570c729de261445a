"""Bodies come out of their encodings; what only claims to be encoded is taken as it is."""

from __future__ import annotations

import gzip
import io
import zlib

import pytest

from spelangy_model.text.http_body import BrokenBodyError, charset_of, decode_body, parse_response

TEXT = b"<html><body><p>" + b"The mill stands at the edge of the village. " * 40 + b"</p></body></html>"
LIMIT = 100_000


def brotli(data: bytes) -> bytes:
    from fastwarc.stream_io import BrotliWriter

    class Kept(io.BytesIO):
        def close(self) -> None:
            """Leave the bytes to be read."""

    packed = Kept()
    writer = BrotliWriter(packed)
    writer.write(data)
    writer.finish()
    writer.close()
    return packed.getvalue()


def chunked(data: bytes, size: int = 100, end: bytes = b"0\r\n\r\n") -> bytes:
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x;note=1\r\n%s\r\n" % (len(part), part) for part in parts) + end


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # the same bytes, and so the same test names, in every process


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def decode(body: bytes, *fields: str, limit: int = LIMIT) -> bytes:
    head = "".join(f"{field}\r\n" for field in fields)
    return decode_body(parse_response(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body), limit)


CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (TEXT, ()),
        (gzipped(TEXT), ("Content-Encoding: gzip",)),
        (gzipped(TEXT), ("content-encoding: X-GZIP",)),
        (gzipped(TEXT[:300]) + gzipped(TEXT[300:]), ("Content-Encoding: gzip",)),
        (gzipped(gzipped(TEXT)), ("Content-Encoding: gzip, gzip",)),
        (gzipped(gzipped(TEXT)), ("Content-Encoding: gzip",)),  # packed once more than is stated
        (gzipped(TEXT), ()),
        (zlib.compress(TEXT), ("Content-Encoding: deflate",)),
        (raw_deflate(TEXT), ("Content-Encoding: deflate",)),
        (brotli(TEXT), ("Content-Encoding: br",)),
        (brotli(gzipped(TEXT)), ("Content-Encoding: gzip", "Content-Encoding: br")),
        (chunked(TEXT), (CHUNKED,)),
        (chunked(gzipped(TEXT)), (CHUNKED, "Content-Encoding: gzip")),
        (chunked(gzipped(TEXT)), ("Transfer-Encoding: gzip, chunked",)),
        # what is stated and is not so
        (TEXT, ("Content-Encoding: gzip",)),
        (TEXT, ("Content-Encoding: br",)),
        (TEXT, ("Content-Encoding: zstd",)),
        (TEXT, ("Content-Encoding: deflate",)),
        (TEXT, ("Content-Encoding: identity, none, utf-8",)),
        (TEXT, (CHUNKED,)),
        (TEXT, (CHUNKED, "Content-Encoding: gzip, br")),
        (chunked(TEXT), (CHUNKED, "Content-Encoding: gzip")),
        (gzipped(TEXT), (CHUNKED, "Content-Encoding: gzip")),
        (gzipped(TEXT), ("Content-Encoding: br",)),
        (gzipped(TEXT), ("Content-Encoding: deflate",)),
    ],
)
def test_a_body_comes_out_of_what_it_is_in(body, fields):
    assert decode(body, *fields) == TEXT


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (gzipped(TEXT)[:-30], ("Content-Encoding: gzip",)),
        (gzipped(TEXT)[:-3], ("Content-Encoding: gzip",)),
        (zlib.compress(TEXT)[:-30], ("Content-Encoding: deflate",)),
        (brotli(TEXT)[:-10], ("Content-Encoding: br",)),
        (chunked(TEXT)[:-200], (CHUNKED,)),
        (chunked(TEXT, end=b""), (CHUNKED,)),
        (chunked(TEXT[:500], end=b"") + b"no chunk", (CHUNKED,)),
        (gzipped(gzipped(gzipped(gzipped(gzipped(gzipped(TEXT)))))), ()),
    ],
)
def test_a_body_that_breaks_off_is_no_half_page(body, fields):
    with pytest.raises(BrokenBodyError):
        decode(body, *fields)


@pytest.mark.parametrize("pack", [gzipped, zlib.compress, raw_deflate, brotli, bytes])
def test_no_more_is_unpacked_than_the_limit(pack):
    name = {gzipped: "gzip", brotli: "br", bytes: "identity"}.get(pack, "deflate")
    assert len(decode(pack(bytes(3_000_000)), f"Content-Encoding: {name}", limit=1000)) == 1001


def test_a_text_that_begins_with_hexadecimal_digits_is_no_chunk():
    assert decode(b"12\nmonths of work " + TEXT, CHUNKED) == b"12\nmonths of work " + TEXT


def test_status_type_and_charset_are_read_from_odd_heads():
    response = parse_response(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\nContent-Type:\n text/HTML ;Charset = 'ISO-8859-2'\nX: 1\n\nbody"
    )
    assert (response.status, response.media_type, response.charset) == (200, "text/html", "ISO-8859-2")
    assert response.stored_body == b"body"
    assert parse_response(b"no header").status is None
    assert parse_response(b"HTTP/1.0 404\r\n").status == 404
    assert charset_of('text/html; boundary=x; charset="utf-8"') == "utf-8"
    assert charset_of("text/html; xcharset=utf-8") == ""
