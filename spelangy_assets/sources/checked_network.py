"""Requests over http and https to addresses that are not trusted.

Put here: which addresses a request may reach, its time limits, and redirects. Do not put here: the use of a response
(download.py), or the order and rate of requests (download_queue.py).

A name is resolved once per connection. The resolved address is checked, and the connection uses that same address, so
DNS rebinding has no effect. Each hop of a redirect is a request that is checked in the same way. Certificates are
checked against the name. No proxy, cookie or environment variable is used.
"""

from __future__ import annotations

import base64
import errno
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import unquote

import httpcore2
import httpx2

from spelangy_model.credentials import without_credentials

CONNECT_S = 10.0
SILENCE_S = 30.0  # the longest silence of a server
_MAX_REDIRECTS = 10
_DRAINED_BYTES = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_OF_THIS_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Kind = Literal["final", "passing", "unreachable"]


class Failure(Exception):
    """Why an address gave nothing: a fixed reason and a text, without secrets.

    `kind`: `final`, a retry would give the same; `passing`, a retry may succeed; `unreachable`, no connection was made,
    so the local network may be the cause. `wait_s`: the pause that the server requests.
    """

    def __init__(self, reason: str, detail: str, kind: Kind = "final", wait_s: float = 0.0):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.kind, self.wait_s = reason, detail, kind, wait_s


def may_be_reached(address: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether an IP address is public or in one of the allowed networks.

    An IPv4 address inside an IPv6 address (mapped, 6to4, Teredo, NAT64) is checked, too.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner: list[ipaddress.IPv4Address] = []
    if isinstance(ip, ipaddress.IPv6Address):
        inner = [one for one in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if one is not None]
        if ip in _NAT64:
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    if ip.version == 6 and ip.ipv4_mapped is not None:
        return may_be_reached(str(ip.ipv4_mapped), allowed)
    if any(ip in network for network in allowed if network.version == ip.version):
        return True
    return ip.is_global and not ip.is_multicast and all(may_be_reached(str(one), allowed) for one in inner)


def addresses_of(host: str, port: int, allowed: Sequence[Network]) -> list[str]:
    """Return the addresses of a name that may be reached. Raises Failure (unreachable, private_address)."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Failure("unreachable", f"{host}: {error.strerror or 'no such name'}", "unreachable") from error
    except UnicodeError as error:
        raise Failure("bad_address", f"{host!r} is no name of a host") from error
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    good = [address for address in addresses if may_be_reached(address, allowed)]
    if not good:
        why = f"{host} is {', '.join(addresses[:3])}: no public address; private_networks= of the recipe may allow it"
        raise Failure("private_address", why)
    return good


class _Clock(threading.local):
    """The deadline of the request of this thread."""

    ends_at = float("inf")

    def left(self, timeout: float | None) -> float:
        left = min(self.ends_at - time.monotonic(), SILENCE_S if timeout is None else timeout)
        if left <= 0:
            raise httpcore2.ReadTimeout("the time is over")
        return left


class _TimedStream(httpcore2.NetworkStream):
    """A stream that ends at the deadline of its request, also when a server sends a byte now and then."""

    def __init__(self, stream: httpcore2.NetworkStream, clock: _Clock):
        self._stream, self._clock = stream, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._clock.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _TimedStream(
            self._stream.start_tls(ssl_context, server_hostname, self._clock.left(timeout)), self._clock
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _CheckedBackend(httpcore2.NetworkBackend):
    """Connects to the checked address of a name, never to the name itself."""

    def __init__(self, allowed: Sequence[Network], clock: _Clock):
        self._allowed, self._clock = allowed, clock
        self._plain = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        failed: Exception | None = None
        for address in addresses_of(host, port, self._allowed):
            try:
                stream = self._plain.connect_tcp(
                    address, port, self._clock.left(timeout), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
            else:
                return _TimedStream(stream, self._clock)
        raise failed or httpcore2.ConnectError("no address")


class Web:
    """A pool of connections for several threads. `allowed` are networks that may be reached beside the public ones."""

    def __init__(self, agent: str, allowed: Sequence[Network] = (), connections: int = 16):
        self._agent = agent
        self._clock = _Clock()
        self._pool = httpcore2.ConnectionPool(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=5.0,
            network_backend=_CheckedBackend(allowed, self._clock),
        )

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def opened(
        self,
        address: str,
        headers: Mapping[str, str],
        max_s: float,
        before: Callable[[httpx2.URL], None] = lambda url: None,
    ) -> Iterator[httpcore2.Response]:
        """Yield the response after the redirects, whatever its status; the block reads its body.

        `before` is called with each hop and may refuse it by a Failure. The limit of `max_s` seconds starts when
        it first returns, and includes the block. Raises Failure.
        """
        url = _url(address)
        ends_at = None
        timeouts = {"connect": CONNECT_S, "read": SILENCE_S, "write": SILENCE_S}
        for _ in range(_MAX_REDIRECTS + 1):
            before(url)
            ends_at = self._clock.ends_at = ends_at or time.monotonic() + max_s
            with (
                _failures(url, self._clock, max_s),
                self._pool.stream(
                    "GET", _core_url(url), headers=self._headers(url, headers), extensions={"timeout": timeouts}
                ) as response,
            ):
                if response.status >= 300:
                    _drain(response)
                location = header(response, "location")
                if response.status not in _REDIRECTS or not location:
                    yield response
                    return
            url = _redirected(url, location)
        raise Failure("too_many_redirects", f"more than {_MAX_REDIRECTS}")

    def _headers(self, url: httpx2.URL, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        host = url.netloc.decode("ascii")
        own = {"Host": host, "User-Agent": self._agent, "Accept": "*/*", "Accept-Encoding": "identity", **headers}
        if url.userinfo:  # of this hop alone: another host's redirect gets no password
            name, _, password = url.userinfo.decode("ascii", "replace").partition(":")
            joined = f"{unquote(name)}:{unquote(password)}".encode()
            own["Authorization"] = f"Basic {base64.b64encode(joined).decode('ascii')}"
        return list(own.items())


def header(response: httpcore2.Response, name: str) -> str:
    """Return the value of a header, "" where there is none."""
    wanted = name.lower().encode("ascii")
    return next((value.decode("latin-1").strip() for key, value in response.headers if key.lower() == wanted), "")


def origin_of(url: httpx2.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _url(address: str) -> httpx2.URL:
    try:
        url = httpx2.URL(address)
        port = url.port
    except (httpx2.InvalidURL, ValueError) as error:
        raise Failure("bad_address", str(error)) from error
    if url.scheme not in ("http", "https") or not url.host or not 0 < (port or 80) < 65536:
        raise Failure("bad_address", "an address is http or https, and names a host")
    return url


def _redirected(url: httpx2.URL, location: str) -> httpx2.URL:
    shown = without_credentials(location)[:200]
    try:
        return _url(str(url.join(location)))
    except (Failure, httpx2.InvalidURL, ValueError) as error:
        raise Failure("bad_redirect", f"to {shown!r}; redirects within http and https alone are followed") from error


def _core_url(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _drain(response: httpcore2.Response) -> None:
    """Read and drop a short body, so that its connection can be reused."""
    length = header(response, "content-length")
    if response.status == 304 or (length.isdecimal() and int(length) <= _DRAINED_BYTES):
        for _ in response.iter_stream():
            pass


@contextmanager
def _failures(url: httpx2.URL, clock: _Clock, max_s: float) -> Iterator[None]:
    """Turn the errors of a connection into a Failure. Errors of this machine (no memory, no descriptors) are raised."""
    try:
        yield
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
        # The pool raises a new error whose argument is the cause.
        cause = next((one for one in error.args if isinstance(one, BaseException)), error)
        if isinstance(cause, OSError) and cause.errno in _OF_THIS_MACHINE:
            raise cause from error
        if isinstance(cause, ssl.SSLError):
            raise Failure("tls_failed", f"{url.host}: {_words(cause)}") from error
        why = "no answer" if isinstance(error, httpcore2.ConnectTimeout) else _words(cause)
        raise Failure("unreachable", f"{url.host}: {why}", "unreachable") from error
    except httpcore2.TimeoutException as error:
        if time.monotonic() >= clock.ends_at:
            raise Failure("too_slow", f"not whole after {max_s:g} s") from error
        raise Failure("timeout", f"{url.host} sent nothing for {SILENCE_S:g} s", "passing") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise Failure("cut_off", f"{url.host}: {_words(error)}", "passing") from error
    except httpcore2.UnsupportedProtocol as error:
        raise Failure("bad_address", str(error)) from error


def _words(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]
