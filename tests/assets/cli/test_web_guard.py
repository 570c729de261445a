"""What the guard in front of the UI lets through: requests as browsers and programs send them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from spelangy_assets.cli.web_guard import WebGuard, refusal

HOST = "127.0.0.1:3000"
OWN = {"host": HOST, "origin": f"http://{HOST}", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}
QUERY, MUTATION = "query{version}", "mutation{setNuxSeen}"


def asked(method: str, path: str = "/", query: str = "", kind: str = "http", **headers: str) -> str:
    scope: dict[str, Any] = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    return refusal(scope, frozenset({"lab.example"}))


def get(document: str, **headers: str) -> str:
    return asked("GET", "/graphql", f"query={quote(document)}", host=HOST, **headers)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:3000", "LOCALHOST.:80", "127.0.0.1:3000", "[::1]:3000", "10.1.2.3", "lab.example:8443"],
)
def test_the_server_s_own_names_are_answered(host: str):
    assert not asked("GET", host=host)
    assert not asked("POST", host=host, origin=f"http://{host}")


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "evil.example:3000", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("127.0.0.1@evil.example", "evil.example#127.0.0.1", "[::1", "0x7f000001", "lab.example.evil", "*"),
    ],
)
def test_a_name_that_was_bound_to_this_machine_is_not(host: str):
    for method in ("GET", "POST"):
        assert "none of this server's names" in asked(method, host=host, origin=f"http://{host}")
    assert asked("GET", "/graphql", kind="websocket", host=host, origin=f"http://{host}")


def test_a_request_with_no_host_or_two_is_refused():
    assert asked("GET")
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"localhost")] * 2,
    }
    assert refusal(scope, frozenset())


FOREIGN = (
    "http://evil.example",
    "https://127.0.0.1:3001",
    "http://localhost:3000",
    "null",
    "file://",
    "http://127.0.0.1",
)


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_origin_neither_posts_nor_listens(origin: str):
    for path in ("/graphql", "/report_asset_materialization/a", "/report_asset_check/a"):
        assert asked("POST", path, host=HOST, origin=origin)
    assert asked("GET", "/graphql", kind="websocket", host=HOST, origin=origin)
    assert asked("GET", "/server_info", host=HOST, origin=origin), "nor reads by CORS"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unknown"])
def test_another_site_links_here_and_nothing_more(site: str):
    def of(mode: str, destination: str, method: str = "GET") -> str:
        fetch = {"sec_fetch_site": site, "sec_fetch_mode": mode, "sec_fetch_dest": destination}
        return asked(method, "/runs", host=HOST, **fetch)

    assert not of("navigate", "document")
    for mode, destination in (
        ("navigate", "iframe"),
        ("navigate", "object"),
        ("no-cors", "image"),
        ("no-cors", "script"),
        ("cors", "empty"),
    ):
        assert of(mode, destination)
    assert of("navigate", "document", "POST"), "a form of another site"


def test_the_page_itself_and_programs_go_through():
    assert not asked("POST", "/graphql", **{**OWN})
    assert not asked("GET", "/graphql", kind="websocket", host=HOST, origin=f"http://{HOST}")
    assert not asked("POST", "/graphql", host="lab.example", origin="https://lab.example"), "TLS ends in front"
    assert not asked("POST", "/graphql", host=HOST), "curl"
    assert not get(QUERY)
    assert not asked("GET", "/graphql", host=HOST, sec_fetch_site="none")


@pytest.mark.parametrize(
    "document",
    [
        MUTATION,
        f" # a comment\n{MUTATION}",
        f"query A{{version}} {MUTATION}",
        f"fragment F on Query{{version}} {MUTATION}",
        "mutation M @skip(if:false){setNuxSeen}",
        f"\ufeff{MUTATION}",
        "subscription{x}",
        "mutation{",
        "{" * 5_000,
        "",
    ],
)
def test_an_address_holds_no_mutation(document: str):
    assert get(document)
    assert get(document, sec_fetch_site="same-origin", sec_fetch_mode="no-cors", sec_fetch_dest="image")


def test_every_query_of_an_address_is_looked_at():
    for query in (f"query={MUTATION}&query={QUERY}", f"query={QUERY}&query={MUTATION}"):
        assert asked("GET", "/graphql", query, host=HOST)
    assert asked("GET", "/graphql/", f"query={MUTATION}", host=HOST)
    assert asked("HEAD", "/graphql", f"query={MUTATION}", host=HOST)
    assert not asked("GET", "/graphql", "", host=HOST), "the page for trying queries"


@pytest.fixture
def client() -> TestClient:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse("served")

    async def listen(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("served")
        await socket.close()

    app = Starlette(routes=[WebSocketRoute("/graphql", listen), Route("/{path:path}", page, methods=["GET", "POST"])])
    return TestClient(WebGuard(app, ["Lab.example"]), base_url="http://lab.example")


def test_a_refusal_says_why_and_does_nothing(client: TestClient):
    assert client.get("/").text == "served"
    refused = client.post("/graphql", headers={"origin": "http://evil.example"})
    assert (refused.status_code, refused.text) == (403, "refused: a page of 'http://evil.example' asked for it\n")
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403


def test_a_websocket_of_another_page_is_not_opened(client: TestClient):
    with client.websocket_connect("/graphql", headers={"host": "lab.example"}) as socket:
        assert socket.receive_text() == "served"
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/graphql", headers={"host": "lab.example", "origin": "http://evil.example"}),
    ):
        pass
