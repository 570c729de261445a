"""A page on which a person asks runs by voice, by a file or in text, and compares their answers.

Put here: the server of the page. Do not put here: the page (report/templates/talk_page.html), the models
(spelangy_model/eval/ask.py), or the conditions on a request (web_guard.py).

It listens on loopback alone, answers no page of another site, loads nothing from elsewhere and keeps nothing. A
question is the body of a POST: sound in any format that is decoded here, or text. One question is answered at a time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from spelangy_assets.access import Store
from spelangy_assets.cli.ask import options_of
from spelangy_assets.cli.web_guard import WebGuard
from spelangy_assets.report.render import render

if TYPE_CHECKING:
    from spelangy_model.eval.ask import AskedModel

HOST = "127.0.0.1"
_MAX_BYTES = 64 << 20  # of a question: an hour of sound as a browser records it
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def serve(store: Store, runs: Sequence[str], port: int, device: str, **options: Any) -> int:
    """Serve the page until a signal ends it; `options` are those of Store.model.

    Raises ValueError for a run that there is not, or a port that is taken.
    """
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise ValueError(f"port {port} cannot be taken ({error.strerror}): name another with --port") from error
        app = talk_app([store.model(run, device, **options) for run in runs])
        print(f"http://{HOST}:{listening.getsockname()[1]} (Ctrl+C ends it)", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
    return 0


def talk_app(models: Sequence[AskedModel]) -> ASGIApp:
    """Return the application: the page, its script, and POST /answers."""
    one_at_a_time = asyncio.Lock()
    page = render("talk_page.html", runs=[model.name for model in models])
    script = (resources.files("spelangy_assets.report") / "templates" / "talk_page.js").read_bytes()

    async def show(request: Request) -> Response:
        return HTMLResponse(page, headers=_HEADERS)

    async def run(request: Request) -> Response:
        return Response(script, media_type="text/javascript", headers=_HEADERS)

    async def answer(request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > _MAX_BYTES:
                words = f"a question has at most {_MAX_BYTES >> 20} MiB"
                return JSONResponse({"error": words}, 413, headers=_HEADERS)
        is_text = request.headers.get("content-type", "").startswith("text/plain")
        question = body.decode("utf-8", "replace") if is_text else bytes(body)
        options = [one.strip() for one in request.query_params.getlist("option") if one.strip()]
        async with one_at_a_time:
            found = [await run_in_threadpool(_answer, model, question, options) for model in models]
        return JSONResponse({"answers": found}, headers=_HEADERS)

    routes = [Route("/", show), Route("/talk_page.js", run), Route("/answers", answer, methods=["POST"])]
    return WebGuard(Starlette(routes=routes))


def _answer(model: AskedModel, question: str | bytes, options: Sequence[str]) -> dict[str, Any]:
    """Return a model's answer, or in one line why it has none."""
    try:
        reply = model.ask(model.read(question) if isinstance(question, bytes) else question, options)
    except ValueError as error:
        return {"run": model.name, "error": " ".join(str(error).split())}
    return {
        "run": model.name,
        "answer": reply.answer.text,
        "ended": reply.answer.ended,
        "options": options_of(options, reply.options) if reply.options is not None else [],
        "seconds": reply.seconds,
    }
