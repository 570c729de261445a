"""Remove credentials from addresses: user names, passwords, tokens, signatures.

Put here: that removal. A manifest's or an archive's address is stored with the record and shown in pages, logs and a
database; a signed address must not be passed on. Do not put here: which addresses are wanted (text.urls).
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

_ADDRESS = re.compile(r"(\s*(?:[a-z][a-z0-9+.\-]*:)*//)([^/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL)
_HOST_AFTER = re.compile(r"@([\w.\-]+(?::\d+)?)(?=[/?#]|\Z)")  # behind a password that holds a mark as it is

# Names of parameters, in small letters without marks.
_SECRET = {
    "authorization", "authkey", "apikey", "accesskey", "accesskeyid", "awsaccesskeyid", "ossaccesskeyid",
    "googleaccessid", "keypairid", "privatekey", "secret", "secretkey", "password", "passwd", "passphrase", "pwd",
    "signature", "sig", "hmac", "jwt", "bearer", "credential", "credentials", "sessionid", "sessid", "phpsessid",
    "jsessionid", "hdnea", "hdnts", "hdntl",
}  # fmt: skip
_SECRET_IF_LONG = {"auth", "sid", "session", "sign", "key", "code"}  # else the number of an article, a country, a word
_LONG = 20
_SECRET_BEGINS = ("xamz", "xgoog", "xoss", "xcos", "aspsessionid")
_SECRET_ENDS = ("token", "signature", "apikey", "secret", "password", "accesskey")
_NO_SECRET = {
    "pagetoken", "nexttoken", "nextpagetoken", "pagingtoken", "continuationtoken", "synctoken", "resumptiontoken",
}  # fmt: skip
_SECRET_VALUE = re.compile(r"(AIza[\w\-]{20}|AKIA[A-Z0-9]{12}|gh[pousr]_\w{20}|sk-[\w\-]{16}|eyJ[\w\-]+\.eyJ[\w\-]+\.)")
_DEPTH = 3  # addresses inside of addresses


def without_credentials(url: str) -> str:
    """Return an address without user names, passwords and the parameters that sign or open it, else as it was.

    Text that is not an address (a file's name, a word) is returned unchanged. Never raises.
    """
    return _without(url, _DEPTH)


def _without(url: str, depth: int) -> str:
    match = _ADDRESS.fullmatch(url)
    if match is None or depth == 0:
        return url
    begin, authority, rest = match.groups()
    port = "" if authority.startswith("[") else authority.partition(":")[2]
    if "@" in authority:
        authority = authority.rpartition("@")[2]
    elif port and not port.isdecimal() and (host := _HOST_AFTER.search(rest)):
        authority, rest = host[1], rest[host.end() :]
    before, hash_mark, fragment = rest.partition("#")
    path, question_mark, query = before.partition("?")
    first, *marked = path.split(";")
    path = first + "".join(f";{part}" for part in marked if not _is_secret(part.partition("/")[0]))
    query = _parameters(query, depth)
    fragment = _parameters(fragment, depth) if "=" in fragment else fragment
    return (
        begin
        + authority
        + path
        + (question_mark + query if query or not before.partition("?")[2] else "")
        + (hash_mark + fragment if fragment or not rest.partition("#")[2] else "")
    )


def _parameters(query: str, depth: int) -> str:
    """Return a query's parameters without the secret ones, the others with the marks between them as they were."""
    kept: list[str] = []
    is_first_removed = False
    for mark, field in re.findall(r"(^|[&;])([^&;]*)", query):
        if _is_secret(field):
            is_first_removed = is_first_removed or not kept
            continue
        name, equals, value = field.partition("=")
        plain = unquote(value)
        cleaned = _without(plain, depth - 1) if "//" in plain else plain
        if cleaned != plain:
            field = name + equals + quote(cleaned, safe="")
        kept.append(field if is_first_removed and not kept else mark + field)
    return "".join(kept)


def _is_secret(field: str) -> bool:
    name, equals, value = field.partition("=")
    name = re.sub(r"[^a-z0-9]", "", unquote(name).lower())
    if not equals or name in _NO_SECRET:
        return False
    return (
        name in _SECRET
        or (name in _SECRET_IF_LONG and len(value) >= _LONG and not value.isdecimal() and value.isalnum())
        or name.startswith(_SECRET_BEGINS)
        or name.endswith(_SECRET_ENDS)
        or _SECRET_VALUE.match(unquote(value)) is not None
    )
