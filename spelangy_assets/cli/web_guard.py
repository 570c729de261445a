"""Protects the Dagster UI: a guard in front of its web server, against pages of other sites in the same browser.

Put here: the conditions on a request. Do not put here: how the server is started (web_server.py, ui.py).

Dagster's web server requires no password, since it is on loopback. But so is the browser, which also shows pages of
other sites. Such a page can send requests here, and by DNS rebinding (its name then resolves to 127.0.0.1) read the
answers too. Dagster's answer to a GET can launch a run, so that an image in a page is enough for an attack. Therefore:

    Host      is an address in numbers, localhost, or a name that the server's configuration allows; another site's name
              that resolves to this machine is refused
    Origin    is this server's own where a browser sends it: with every POST and every websocket
    GET       carries queries of GraphQL alone, never a mutation
    the rest  a browser states where a request comes from (Sec-Fetch-Site): other sites may only link here; their pages
              may not show one of these in a frame

A program that is no browser (curl, dagster-graphql) sends neither Origin nor Sec-Fetch-Site, and is let through: it can
do whatever its user can.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, QueryParams
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

_READING = ("GET", "HEAD", "OPTIONS")
_POLICY_VIOLATION = 1008
_ADDRESS = "use 127.0.0.1"


class WebGuard:
    """An ASGI application that forwards the requests that `refusal` accepts, and answers the rest with a 403.

    `allowed_hosts` are names besides localhost; None for a server to which no name can be added.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str] | None = None):
        self._app = app
        self._cure = _ADDRESS if allowed_hosts is None else "ui --allow-host NAME adds one"
        self._allowed_hosts = frozenset(name.lower().rstrip(".") for name in allowed_hosts or ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        why = refusal(scope, self._allowed_hosts, self._cure) if scope["type"] in ("http", "websocket") else ""
        if not why:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(_POLICY_VIOLATION, why)(scope, receive, send)
        else:
            await PlainTextResponse(f"refused: {why}\n", status_code=403)(scope, receive, send)


def refusal(scope: Scope, allowed_hosts: frozenset[str], cure: str = _ADDRESS) -> str:
    """Return why a request (an ASGI scope of http or websocket) is refused; empty where it is not.

    `cure`: what a person does about a host that is none of the server's.
    """
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _is_allowed(hosts[0], allowed_hosts):
        return f"the host {', '.join(hosts)[:100]!r} is none of this server's names ({cure})"
    changes = scope["type"] == "websocket" or scope["method"] not in _READING
    origins = headers.getlist("origin")
    if origins and not _is_own(origins, hosts[0]):
        return f"a page of {', '.join(origins)[:100]!r} asked for it"
    site = headers.get("sec-fetch-site", "none")
    is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    if site not in ("same-origin", "none") and (changes or not is_link):
        return "a page of another site asked for it"
    if not changes and scope["path"].rstrip("/").endswith("/graphql"):
        return _mutation_in(QueryParams(scope["query_string"]).getlist("query"))
    return ""


def _is_allowed(host: str, allowed_hosts: frozenset[str]) -> bool:
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if name == "localhost" or name in allowed_hosts:
        return True
    try:
        ipaddress.ip_address(name)  # no name of another site: such an address cannot be made to mean another machine
    except ValueError:
        return False
    return True


def _is_own(origins: list[str], host: str) -> bool:
    """Say whether there is one origin, and it is the host; the scheme may be that of a proxy in front."""
    origin = urlsplit(origins[0])
    return len(origins) == 1 and origin.scheme in ("http", "https") and origin.netloc.lower() == host.lower()


def _mutation_in(queries: list[str]) -> str:
    from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

    for query in queries:
        try:
            definitions = parse(query).definitions
        except (GraphQLError, RecursionError):
            return "the query in its address cannot be read"
        for definition in definitions:
            if isinstance(definition, OperationDefinitionNode) and definition.operation != OperationType.QUERY:
                return "an address holds queries alone: send a mutation by POST"
    return ""
