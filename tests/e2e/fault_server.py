"""A real HTTP server on a loopback address, with the faults that servers have, and a log of what it was asked for."""

import io
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import soundfile


def wav(hz: float, seconds: float = 0.3) -> bytes:
    """Return a file of a tone; other tones are other bytes."""
    out = io.BytesIO()
    soundfile.write(out, 0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * 16_000)) / 16_000), 16_000, format="WAV")
    return out.getvalue()


@dataclass
class Asked:
    """One request, what it was answered, and which bytes of the body were handed to the connection."""

    path: str
    headers: dict[str, str]
    status: int = 0
    begin: int = 0
    end: int = 0


Page = Callable[["Handler", Asked], None]


@dataclass
class FaultServer:
    """Pages by path; a path that is none is 404. `robots` is what robots.txt says, None: there is none."""

    host: str
    port: int
    pages: dict[str, Page] = field(default_factory=dict)
    log: list[Asked] = field(default_factory=list)
    robots: str | None = None

    def url(self, path: str) -> str:
        return f"http://{self.host}:{self.port}{path}"

    def asked(self, path: str) -> list[Asked]:
        return [one for one in self.log if one.path == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: FaultServer

    def do_GET(self) -> None:
        asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()})
        self.faults.log.append(asked)
        if self.path == "/robots.txt":
            page = status(404) if self.faults.robots is None else body(self.faults.robots.encode(), kind="text/plain")
        else:
            page = self.faults.pages.get(self.path, status(404))
        try:
            page(self, asked)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def head(self, asked: Asked, code: int, headers: dict[str, str]) -> None:
        asked.status = code
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


def status(code: int, **headers: str) -> Page:
    """Answer with a status and nothing else; `_` in a header's name is a hyphen."""

    def page(handler: Handler, asked: Asked) -> None:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.head(asked, code, {**sent, "Content-Length": "0"})

    return page


def redirect(location: str, code: int = 302) -> Page:
    return status(code, Location=location)


def body(
    data: bytes,
    kind: str = "audio/wav",
    etag: str = "",
    modified: str = "",
    ranges: bool = True,
    cut_at: int | None = None,
    piece: int = 1 << 16,
    pause_s: float = 0.0,
    headers: dict[str, str] | None = None,
) -> Page:
    """Answer with bytes. `cut_at`: the connection breaks there, once. `piece` and `pause_s`: it is slow."""
    cuts = [] if cut_at is None else [cut_at]

    def page(handler: Handler, asked: Asked) -> None:
        given = asked.headers
        sent = {
            **({"ETag": etag} if etag else {}),
            **({"Last-Modified": modified} if modified else {}),
            **(headers or {}),
        }
        same = (etag and given.get("if-none-match") == etag) or (
            modified and given.get("if-modified-since") == modified
        )
        if same:
            handler.head(asked, 304, sent)
            return
        code, begin = 200, 0
        if ranges and "range" in given and given.get("if-range") in (etag, modified):
            code, begin = 206, int(given["range"].removeprefix("bytes=").rstrip("-"))
            if begin >= len(data):
                handler.head(asked, 416, {"Content-Length": "0"})
                return
            sent["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        kinds = {"Content-Type": kind} if kind else {}
        handler.head(asked, code, {**kinds, **sent, "Content-Length": str(len(data) - begin)})
        asked.begin = asked.end = begin
        stop = cuts.pop() if cuts else len(data)
        while asked.end < stop:
            step = data[asked.end : min(asked.end + piece, stop)]
            handler.wfile.write(step)
            asked.end += len(step)
            time.sleep(pause_s)
        if stop < len(data):
            handler.close_connection = True

    return page


def reset(handler: Handler, asked: Asked) -> None:
    """Break the connection by a reset, without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def failing(times: int, fault: Page, then: Page) -> Page:
    """Answer with a fault so many times, then well."""
    left = [fault] * times

    def page(handler: Handler, asked: Asked) -> None:
        (left.pop() if left else then)(handler, asked)

    return page


@contextmanager
def serving(host: str = "127.0.0.2", small_buffers: bool = False) -> Iterator[FaultServer]:
    """Serve in threads of this process. `small_buffers`: what is sent and not yet read stays small."""

    class Own(Handler):
        def setup(self) -> None:
            if small_buffers:
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            super().setup()

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            return

    server = Server((host, 0), Own)
    faults = Own.faults = FaultServer(host, server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port(host: str = "127.0.0.2") -> int:
    """Return a port at which no one listens."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]
