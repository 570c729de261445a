"""Read a stored HTTP response: its status, its fields, and its body without content and transfer encodings.

Put here: parsing a stored response, undoing Transfer-Encoding and Content-Encoding within a limit. Do not put here:
where responses are stored (warc) or charsets (html_pages). Archives often store a body decoded and keep the header that
states how it was sent; so a body without signs of a stated encoding is taken as it is, as browsers do. A body with
these signs that cannot be decoded to its end is broken. Sources: RFC 9112 (chunked), RFC 9110 8.4; fastwarc decodes
brotli and zstd.
"""

from __future__ import annotations

import io
import re
import zlib
from dataclasses import dataclass
from typing import Any, cast

from spelangy_model.text.archive_records import parse_fields
from spelangy_model.text.rights import Fields

_MAX_ENCODINGS = 4  # of one body; more is made to be slow
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)? +(\d{3})\b")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?\s*([\w.:+-]+)""", re.IGNORECASE)
# the bytes that no text has (WHATWG MIME sniffing, "binary data bytes")
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_SNIFFED_BYTES = 4096


class BrokenBodyError(Exception):
    """An encoded body without the end that its encoding requires."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response as stored: `status` is None when it begins with no status line, `fields` have lower-case names."""

    status: int | None
    fields: Fields
    stored_body: bytes

    @property
    def media_type(self) -> str:
        """The stated media type without its parameters, in lower case; empty when none is stated."""
        return self._content_type().partition(";")[0].strip().lower()

    @property
    def charset(self) -> str:
        """The stated charset; empty when none is."""
        return charset_of(self._content_type())

    def is_complete(self) -> bool:
        """Return whether the stored body has just the stated length, but for line ends behind it."""
        stated = next((value for name, value in self.fields if name == "content-length"), "")
        if not re.fullmatch(r"\d{1,18}", stated):
            return False
        rest = self.stored_body[int(stated) :]
        return len(self.stored_body) >= int(stated) and len(rest) <= 4 and not rest.strip(b"\r\n")

    def _content_type(self) -> str:
        return next((value for name, value in reversed(self.fields) if name == "content-type" and value), "")


def charset_of(content_type: str) -> str:
    """Return the charset parameter of a media type; empty when it has none."""
    found = _CHARSET.search(content_type)
    return found[1] if found else ""


def parse_response(block: bytes) -> Response:
    """Return the content of a stored HTTP response; informational (1xx) responses before it are skipped."""
    while True:
        status = _STATUS.match(block)
        if status is None:
            return Response(None, (), block)
        end = _HEAD_END.search(block)
        head, body = (block[: end.start()], block[end.end() :]) if end else (block, b"")
        if status[1].startswith(b"1") and _STATUS.match(body):
            block = body
            continue
        return Response(int(status[1]), parse_fields(head), body)


def decode_body(response: Response, limit_bytes: int) -> bytes:
    """Return the body without its encodings; at most `limit_bytes` + 1, so that a longer one is seen to be.

    Raises BrokenBodyError when it is in an encoding and breaks off or is damaged.
    """
    body = response.stored_body
    if len(body) > limit_bytes:
        return body[: limit_bytes + 1]
    if body and "chunked" in _words(response.fields, "transfer-encoding"):
        body = _unchunk(body)
    stated = [*_words(response.fields, "content-encoding"), *_words(response.fields, "transfer-encoding")]
    names = [name for name in reversed(stated) if name in _DECODERS]
    for name in names[:_MAX_ENCODINGS]:
        body = _DECODERS[name](body, limit_bytes)
        if len(body) > limit_bytes:
            return body
    for _ in range(_MAX_ENCODINGS):  # packed once more than is stated
        if not body.startswith(_GZIP):
            return body
        body = _gunzip(body, limit_bytes)
        if len(body) > limit_bytes:
            return body
    raise BrokenBodyError(f"gzip in gzip, more than {_MAX_ENCODINGS} deep")


def _words(fields: Fields, name: str) -> list[str]:
    return [word.strip().lower() for field, value in fields if field == name for word in value.split(",")]


_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]{0,1000})?\r?\n")


def _unchunk(body: bytes) -> bytes:
    """Return the data of chunks; the body itself when it begins with none."""
    parts: list[bytes] = []
    at = 0
    while at < len(body):
        chunk = _CHUNK.match(body, at)
        if chunk is None:
            if not parts:
                return body
            raise BrokenBodyError(f"no chunk begins at byte {at} of a chunked body")
        size = int(chunk[1], 16)
        if size == 0:
            return b"".join(parts)
        end = chunk.end() + size
        if not parts and body[end : end + 1] not in (b"", b"\r", b"\n"):
            return body  # a text that happens to begin with a line of hexadecimal digits
        if end > len(body):
            raise BrokenBodyError(
                f"the chunked body breaks off: {size} bytes are stated, {len(body) - chunk.end()} left"
            )
        parts.append(body[chunk.end() : end])
        at = end + (2 if body[end : end + 2] == b"\r\n" else 1 if body[end : end + 1] == b"\n" else 0)
    raise BrokenBodyError("the chunked body breaks off: no last chunk")


_GZIP = b"\x1f\x8b\x08"


def _gunzip(body: bytes, limit_bytes: int) -> bytes:
    if not body.startswith(_GZIP):
        return body
    parts, total = [], 0
    while body.startswith(_GZIP) and total <= limit_bytes:
        inflator = zlib.decompressobj(wbits=31)
        try:
            part = inflator.decompress(body, limit_bytes + 1 - total)
        except zlib.error as problem:
            raise BrokenBodyError(f"gzip: {problem}") from problem
        parts.append(part)
        total += len(part)
        if not inflator.eof and total <= limit_bytes:
            raise BrokenBodyError("the gzipped body breaks off")
        body = inflator.unused_data
    return b"".join(parts)


def _inflate(body: bytes, limit_bytes: int) -> bytes:
    """Undo "deflate": with zlib's frame, as the standard requires, or without it, as some servers send it."""
    broken = ""
    for wbits in (15, -15):
        inflator = zlib.decompressobj(wbits=wbits)
        try:
            text = inflator.decompress(body, limit_bytes + 1)
        except zlib.error as problem:
            broken = broken or str(problem)
            continue
        if inflator.eof or len(text) > limit_bytes:
            return text
        broken = "the body breaks off"
    return _as_it_is(body, "deflate", broken)


def _read_with(reader_name: str, name: str) -> Any:
    def decode(body: bytes, limit_bytes: int) -> bytes:
        from fastwarc import stream_io

        try:
            return cast(bytes, getattr(stream_io, reader_name)(io.BytesIO(body)).read(limit_bytes + 1))
        except OSError as problem:
            return _as_it_is(body, name, str(problem))

    return decode


def _as_it_is(body: bytes, name: str, broken: str) -> bytes:
    """Return a body that is text already, or gzip; raises BrokenBodyError when it is neither."""
    if body.startswith(_GZIP):
        return body
    if not body.startswith(_BYTE_ORDER_MARKS) and _BINARY.search(body[:_SNIFFED_BYTES]):
        raise BrokenBodyError(f"{name}: {broken}")
    return body


_DECODERS = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "br": _read_with("BrotliReader", "br"),
    "zstd": _read_with("ZstdReader", "zstd"),
}
