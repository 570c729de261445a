"""Fetching from addresses: a real server with faults on this machine, rule by rule. A killed fetch is in
test_downloads_killed.py."""

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_server import FaultServer, body, closed_port, failing, redirect, reset, serving, status, wav

from spelangy_assets import lab
from spelangy_assets.cli.main import main
from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, InputError
from spelangy_assets.execution.status import status_of
from spelangy_assets.sources import checked_network, download_queue
from spelangy_assets.sources.addresses import episode_of, episodes, licensed, read_list
from spelangy_assets.sources.checked_network import may_be_reached
from spelangy_assets.sources.download_queue import NetworkDown
from spelangy_assets.sources.download_shelf import Shelf
from spelangy_assets.sources.downloads import DownloadedSource
from spelangy_assets.stages import ingest_audio
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.forgotten import forget
from spelangy_model.records import Recording, Reject

TONE = wav(300)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serving() as faults:
        yield faults


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_queue, "_PAUSE_BETWEEN_ROUNDS_S", 0.0)


Fetching = Callable[..., DownloadedSource]


@pytest.fixture
def fetching(tmp_path: Path) -> Fetching:
    """Return the source of a list of rows or addresses; `snapshot` and the literals of Downloads as they are given."""

    def source(*rows: object, snapshot: str = "mine", **options: object) -> DownloadedSource:
        path = tmp_path / f"{snapshot}.jsonl"
        if rows:
            objects = ({"url": row} if isinstance(row, str) else row for row in rows)
            path.write_text("".join(json.dumps(row) + "\n" for row in objects))
        given = {"unlicensed": True, "private_networks": ("127.0.0.2/32",), "pause_s": 0.0, "lists": (str(path),)}
        options = {**given, **options}
        if options.get("licence"):
            options["unlicensed"] = False
        return DownloadedSource(lab.Downloads(**options), tmp_path / "downloads", snapshot)  # type: ignore[arg-type]

    return source


def quiet(text: str) -> None:
    return


def ended(source: DownloadedSource) -> dict[str, str]:
    """Fetch, and return the reason of each address; "" for bytes."""
    source.fetch(quiet)
    return {item.source_uri: item.reason for item in source.items()}


def only(source: DownloadedSource) -> tuple[str, str]:
    source.fetch(quiet)
    (item,) = source.items()
    return item.reason, item.detail


# --- what is asked for ----------------------------------------------------------------------------------------------


def test_a_list_may_be_text_a_table_or_json_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# mine\n\nhttps://h.example/a.mp3\nftp://h.example/b\n")
    (tmp_path / "b.csv").write_text("title,URL,license\nOne,https://h.example/c.mp3,MIT\nTwo,,MIT\n")
    talk = {"speaker": "a", "text": "Hi.", "start_s": 0.0, "end_s": 0.2}
    rows = [{"url": "https://h.example/d", "licence": "CC0-1.0", "language": "en", "utterances": [talk], "text": "no"}]
    lines = [*map(json.dumps, rows), "{", json.dumps({"url": "https://h.example/e", "utterances": [{}]})]
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    text, table, objects = (list(read_list(tmp_path / name)) for name in ("a.txt", "b.csv", "c.jsonl.gz"))
    assert [(one.name, one.reason) for one in text] == [
        ("https://h.example/a.mp3", ""), ("ftp://h.example/b", "bad_address"),
    ]  # fmt: skip
    assert text[1].detail == "a.txt, line 4: ftp://h.example/b is no address of http or https"
    assert (table[0].entry.licence, table[0].about) == ("MIT", (("title", "One"),))
    assert (table[1].name, table[1].reason) == ("b.csv, line 3", "bad_address")
    assert (objects[0].entry.language, objects[0].entry.utterances[0].text) == ("en", "Hi.")
    assert [one.reason for one in objects] == ["", "bad_line", "bad_utterances"]
    (tmp_path / "d.csv").write_text("address\nx\n")
    for name, words in (("d.csv", "name one of them url"), ("e.txt", "no file"), ("f.doc", "a list of addresses is")):
        with pytest.raises(InputError, match=words):
            list(read_list(tmp_path / name))


RSS = """<?xml version="1.0"?><rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"
 xmlns:cc="http://backend.userland.com/creativeCommonsRssModule" xmlns:podcast="https://podcastindex.org/namespace/1.0">
<channel><title>Talks</title><language>en-us</language><copyright>(c) 2026 somebody</copyright>{licence}
<item><title>One</title><guid isPermaLink="false">g1</guid><itunes:author>Ann</itunes:author>
 <pubDate>Mon, 02 Nov 2026 10:00:00 GMT</pubDate><enclosure url="{one}" type="audio/wav" length="1"/></item>
<item><title>Two</title><guid isPermaLink="false">g2</guid><podcast:license>cc-by-sa-4.0</podcast:license>
 <enclosure url="two.wav" type="audio/wav" length="1"/><enclosure url="two.pdf" type="text/html" length="1"/></item>
<item><title>Three</title><guid isPermaLink="false">g3</guid></item></channel></rss>"""
BY = "<cc:license>https://creativecommons.org/licenses/by/4.0/</cc:license>"


def test_a_feed_gives_its_episodes_with_their_licences() -> None:
    rows = episodes(
        RSS.format(licence=BY, one="https://cdn.example/1.wav").encode(), "https://u:p@h.example/f/feed.xml"
    )
    assert rows is not None
    one, two, three = (licensed(episode_of(row), "", False) for row in rows)
    assert (one.name, one.entry.licence, one.entry.language) == ("https://cdn.example/1.wav", "CC-BY-4.0", "en")
    assert dict(one.about) == {
        "title": "One", "author": "Ann", "published": "Mon, 02 Nov 2026 10:00:00 GMT", "guid": "g1",
        "feed": "https://h.example/f/feed.xml",
    }  # fmt: skip
    assert (two.name, two.entry.licence) == ("https://h.example/f/two.wav", "CC-BY-SA-4.0")
    assert (three.name, three.reason) == ("https://h.example/f/feed.xml#g3", "no_enclosure")
    atom = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>A</title><entry><id>i</id><title>t</title>
        <link rel="enclosure" href="/b.ogg" type="audio/ogg"/>
        <link rel="license" href="https://creativecommons.org/publicdomain/zero/1.0/"/></entry></feed>"""
    (row,) = episodes(atom, "https://h.example/atom") or []
    assert (row["url"], row["licence"]) == ("https://h.example/b.ogg", "CC0-1.0")
    assert episodes(b"<html><body>no feed</body></html>", "https://h.example/") is None


def test_what_states_no_licence_is_a_reject_unless_a_literal_says_otherwise(
    server: FaultServer, fetching: Fetching
) -> None:
    server.pages = {"/a.wav": body(TONE)}
    url = server.url("/a.wav")
    refused = fetching(url, unlicensed=False)
    assert only(refused)[0] == "no_licence"
    assert server.log == [], "it is not even asked for"
    assert only(fetching(url, licence="MIT", snapshot="b"))[0] == ""
    assert fetching(url, licence="MIT", snapshot="b").items()[0].entry.licence == "MIT"
    assert only(fetching(url, snapshot="c"))[0] == ""
    # Words of copyright are no licence.
    rows = episodes(RSS.format(licence="", one="https://h.example/1").encode(), "https://h.example/feed.xml") or []
    assert licensed(episode_of(rows[0]), "", False).reason == "no_licence"
    for options, words in (
        ({"licence": "MIT", "unlicensed": True, "lists": ("a",)}, "unlicensed does nothing"),
        ({}, "takes lists="),
        ({"lists": ("a",), "private_networks": ("h",)}, "IPv4 or IPv6 network"),
        ({"feeds": ("file:///etc/passwd",)}, "no address of http"),
        ({"lists": ("a",), "connections": 0}, "connections is 0"),
        ({"lists": ("a",), "pause_s": -1.0}, "pause_s"),
    ):
        with pytest.raises(ValueError, match=words):
            lab.Downloads(**options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a tuple of strings"):
        lab.Downloads(lists="talks.csv")  # type: ignore[arg-type]


def test_an_address_that_is_named_twice_is_fetched_once(server: FaultServer, fetching: Fetching) -> None:
    server.pages = {"/a.wav": body(TONE), "/b.wav": body(TONE)}
    a, b = server.url("/a.wav"), server.url("/b.wav")
    source = fetching(a, a, f"{a}#t=1,2", {"url": a, "licence": "MIT"}, b)
    source.fetch(quiet)
    assert [(item.source_uri, item.reason) for item in source.items()] == [
        (a, ""), (a, "duplicate_id"), (b, "duplicate"),
    ]  # fmt: skip
    assert len(server.asked("/a.wav")) == 1


# --- where a request may lead ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
        ),
        *("255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1%eth0", "2001:0:7f00:1::", "fd00:ec2::254"),
    ],
)
def test_addresses_that_are_not_of_the_internet_are_not_reached(address: str) -> None:
    assert not may_be_reached(address)


def test_addresses_of_the_internet_and_allowed_ones_are_reached() -> None:
    allowed = lab.Downloads(lists=("a",), private_networks=("10.0.0.0/8", "fd00::/8")).networks()
    assert may_be_reached("93.184.215.14")
    assert may_be_reached("2606:2800:21f:cb07:6820:80da:af6b:8b2c")
    assert may_be_reached("10.1.2.3", allowed)
    assert may_be_reached("::ffff:10.1.2.3", allowed)
    assert may_be_reached("fd00::1", allowed)
    assert not may_be_reached("127.0.0.1", allowed)


def test_a_redirect_leads_nowhere_else(server: FaultServer, fetching: Fetching) -> None:
    with serving("127.0.0.1") as inside:
        inside.pages = {"/secret.wav": body(TONE)}
        hostile = {
            "file": ("file:///etc/passwd", "bad_redirect"),
            "ftp": ("ftp://127.0.0.2/a.wav", "bad_redirect"),
            "data": ("data:audio/wav;base64,AAAA", "bad_redirect"),
            "loopback": (inside.url("/secret.wav"), "private_address"),
            "by_name": (f"http://localhost:{inside.port}/secret.wav", "private_address"),
            "as_a_number": (f"http://2130706433:{inside.port}/secret.wav", "private_address"),
            "in_hex": (f"http://0x7f.1:{inside.port}/secret.wav", "private_address"),
            "mapped": (f"http://[::ffff:127.0.0.1]:{inside.port}/secret.wav", "private_address"),
            "metadata": ("http://169.254.169.254/latest/meta-data/", "private_address"),
            "any": (f"http://0.0.0.0:{inside.port}/secret.wav", "private_address"),
            "loop": (server.url("/loop"), "too_many_redirects"),
            "no_port": ("http://127.0.0.2:99999/", "bad_redirect"),
        }
        server.pages = {f"/{name}": redirect(location) for name, (location, _) in hostile.items()}
        server.pages["/far"] = redirect("/near", 307)
        server.pages["/near"] = redirect(server.url("/a.wav"), 301)
        server.pages["/a.wav"] = body(TONE)
        source = fetching(*map(server.url, [*(f"/{name}" for name in hostile), "/far"]), inside.url("/secret.wav"))
        reasons = ended(source)
        assert reasons.pop(server.url("/far")) == ""
        assert reasons.pop(inside.url("/secret.wav")) == "private_address"
        assert reasons == {server.url(f"/{name}"): reason for name, (_, reason) in hostile.items()}
        assert inside.log == [], "nothing was asked there"


def test_a_name_is_resolved_once_checked_and_connected_to_as_checked(
    server: FaultServer, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *args: object, **named: object) -> object:
        """Give another address with each question: the good one first, then the hostile one."""
        asked.append(host)
        first = asked.count(host) == 1
        answers = {"rebinding.example": "127.0.0.2" if first else "127.0.0.1", "inside.example": "127.0.0.1"}
        return real(answers.get(host, host), port, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    server.pages = {"/a.wav": body(TONE, headers={"Connection": "close"})}
    with serving("127.0.0.1") as inside:
        inside.pages = {"/a.wav": body(wav(400))}
        rebinding = f"http://rebinding.example:{server.port}/a.wav"
        reasons = ended(fetching(rebinding, f"http://inside.example:{inside.port}/a.wav"))
        # robots.txt is asked first, over the same connection; had it been resolved again, it would be refused.
        assert list(reasons.values()) == ["private_address", ""]
        assert asked.count("rebinding.example") == 1
        assert inside.log == []
        server.pages["/b.wav"] = body(wav(500))
        # Each new connection is checked: the second answer is refused, and the certificate or the name is no help.
        assert only(fetching(rebinding.replace("a.wav", "b.wav"), snapshot="b"))[0] == "private_address"
        assert inside.log == []


def test_credentials_open_their_own_host_and_are_written_nowhere(
    server: FaultServer, fetching: Fetching, tmp_path: Path
) -> None:
    with serving("127.0.0.3") as other:
        server.pages = {
            "/a.wav?X-Amz-Signature=hidden1": body(TONE),
            "/away?token=hidden2": redirect(other.url("/b.wav")),
            "/c.wav": status(403),
        }
        other.pages = {"/b.wav": body(wav(400))}
        base = f"http://ann:hidden3@{server.host}:{server.port}"
        source = fetching(
            *(f"{base}/a.wav?X-Amz-Signature=hidden1", f"{base}/away?token=hidden2", f"{base}/c.wav"),
            private_networks=("127.0.0.0/8",),
        )
        reasons = ended(source)
        assert reasons == {server.url("/a.wav"): "", server.url("/away"): "", server.url("/c.wav"): "http_403"}
        assert all(one.headers["authorization"].startswith("Basic ") for one in server.asked("/c.wav"))
        assert all("authorization" not in one.headers for one in other.log)
    written = b"".join(path.read_bytes() for path in (tmp_path / "downloads").rglob("*.json*"))
    assert b"hidden" not in written
    assert server.url("/c.wav").encode() in written


# --- what a server may do -------------------------------------------------------------------------------------------


def test_every_failure_is_a_reject_with_its_status(
    server: FaultServer, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked_network, "SILENCE_S", 0.3)
    dead = closed_port()

    def silent(handler: object, asked: object) -> None:
        time.sleep(0.5)

    pages = {
        "/gone": (status(404), "http_404"), "/down": (status(503), "http_503"), "/reset": (reset, "cut_off"),
        "/silent": (silent, "timeout"), "/empty": (body(b""), "empty"),
        "/page": (body(b"<p>", "text/html"), "not_audio"),
        "/noise": (body(b"?" * 9000, "application/octet-stream"), "not_audio"),
        "/zip": (body(TONE, headers={"Content-Encoding": "gzip"}), "encoded"),
        "/large": (body(TONE * 3), "too_large"), "/teapot": (status(418), "http_418"),
        "/unasked": (status(304), "http_304"), "/odd": (status(206), "http_206"),
        "/blob": (body(TONE, "application/octet-stream"), ""), "/untyped": (body(TONE, ""), ""),
    }  # fmt: skip
    server.pages = {path: page for path, (page, _) in pages.items()}

    def chunked(handler: object, asked: object) -> None:
        handler.head(asked, 200, {"Transfer-Encoding": "chunked", "Content-Type": "audio/wav"})  # type: ignore[attr-defined]
        for _ in range(3):
            handler.wfile.write(f"{len(TONE):x}\r\n".encode() + TONE + b"\r\n")  # type: ignore[attr-defined]
        handler.wfile.write(b"0\r\n\r\n")  # type: ignore[attr-defined]

    server.pages["/endless"] = chunked
    expected = {server.url(path): reason for path, (_, reason) in pages.items()} | {server.url("/endless"): "too_large"}
    expected[f"http://127.0.0.2:{dead}/a.wav"] = "unreachable"
    expected[server.url("/a.wav").replace("http:", "https:")] = "tls_failed"
    source = fetching(*expected, max_bytes=2 * len(TONE), connections_per_host=16)
    # Of the two with equal bytes the second is a duplicate of the first.
    assert ended(source) == expected | {server.url("/untyped"): "duplicate"}
    detail = {item.source_uri: item.detail for item in source.items()}
    assert detail[server.url("/gone")] == "HTTP 404 Not Found"
    assert "Connection refused" in detail[f"http://127.0.0.2:{dead}/a.wav"]
    assert len(server.asked("/down")) == download_queue.ROUNDS, "what may pass is asked again"
    assert len(server.asked("/gone")) == 1


def test_what_may_pass_is_asked_again(server: FaultServer, fetching: Fetching) -> None:
    data = wav(300, 4.0)
    server.pages = {
        "/a": failing(2, status(503, Retry_After="0"), body(TONE)),
        "/b": failing(1, reset, body(wav(310))),
        "/c": body(data, etag='"1"', cut_at=50_000),
        "/d": body(wav(320), ranges=False, etag='"1"', cut_at=2_000),
    }
    source = fetching(*map(server.url, server.pages))
    assert set(ended(source).values()) == {""}
    first, second = server.asked("/c")
    assert (second.headers["range"], second.headers["if-range"]) == (f"bytes={second.begin}-", '"1"')
    assert 0 < second.begin <= first.end
    assert second.end == len(data)
    assert [one.status for one in server.asked("/d")] == [200, 200], "it gives no parts, so it is begun anew"
    item = next(item for item in source.items() if item.source_uri == server.url("/c"))
    assert (source.files.path(item.file) or Path()).read_bytes() == data


def test_a_rest_that_is_not_of_the_same_bytes_is_not_joined(server: FaultServer, fetching: Fetching) -> None:
    new = wav(500, 4.0)
    server.pages = {
        "/changed": failing(1, body(wav(300, 4.0), etag='"1"', cut_at=50_000), body(new, etag='"2"')),
        "/unproven": body(wav(310, 4.0), cut_at=50_000),
        "/weak": body(wav(320, 4.0), etag='W/"1"', cut_at=50_000),
        "/dated": body(wav(330, 4.0), modified="Mon, 02 Nov 2026 10:00:00 GMT", cut_at=50_000),
    }
    source = fetching(*map(server.url, server.pages))
    assert set(ended(source).values()) == {""}
    assert [one.status for one in server.asked("/changed")] == [200, 200]
    assert [one.status for one in server.asked("/unproven")] == [200, 200]
    assert [one.status for one in server.asked("/weak")] == [200, 200]
    assert [one.status for one in server.asked("/dated")] == [200, 206]
    item = next(item for item in source.items() if item.source_uri == server.url("/changed"))
    assert (source.files.path(item.file) or Path()).read_bytes() == new


def test_a_server_that_drips_is_given_up(server: FaultServer, fetching: Fetching) -> None:
    server.pages = {"/a.wav": body(TONE, piece=10, pause_s=0.02)}
    begun = time.monotonic()
    assert only(fetching(server.url("/a.wav"), max_s=0.3)) == ("too_slow", "not whole after 0.3 s")
    assert time.monotonic() - begun < 2


# --- manners --------------------------------------------------------------------------------------------------------


def test_robots_are_obeyed_at_every_hop(server: FaultServer, fetching: Fetching) -> None:
    server.robots = "User-agent: *\nDisallow: /private/\nDisallow: /*.mp3$\n"
    server.pages = {path: body(wav(300 + 10 * n)) for n, path in enumerate(("/private/a.wav", "/a.mp3", "/a.mp3?x=1"))}
    server.pages["/away.wav"] = redirect("/private/a.wav")
    reasons = ended(fetching(*map(server.url, server.pages)))
    assert {url.partition(str(server.port))[2]: reason for url, reason in reasons.items()} == {
        "/private/a.wav": "robots", "/a.mp3": "robots", "/a.mp3?x=1": "", "/away.wav": "robots",
    }  # fmt: skip
    assert server.asked("/private/a.wav") == []
    assert len(server.asked("/robots.txt")) == 1
    assert {one.headers["user-agent"] for one in server.log} == {"SpeLangy"}


def test_a_host_is_asked_no_faster_than_it_may_be(server: FaultServer, fetching: Fetching) -> None:
    at_once = [0, 0]  # now, at most

    def page(handler: object, asked: object) -> None:
        at_once[0] += 1
        at_once[1] = max(at_once)
        time.sleep(0.02)
        at_once[0] -= 1
        body(TONE)(handler, asked)  # type: ignore[arg-type]

    server.pages = {f"/{n}.wav": page for n in range(6)}
    begun = time.monotonic()
    assert "" in ended(fetching(*map(server.url, server.pages), pause_s=0.05)).values()
    assert time.monotonic() - begun >= 6 * 0.05
    assert at_once[1] <= 2
    server.robots = "User-agent: *\nCrawl-delay: 0.1\n"
    begun = time.monotonic()
    ended(fetching(*map(server.url, list(server.pages)[:4]), snapshot="b"))
    assert time.monotonic() - begun >= 3 * 0.1


def test_a_host_whose_robots_cannot_be_read_is_not_asked(server: FaultServer, fetching: Fetching) -> None:
    server.pages = {"/robots.txt": status(500), "/a.wav": body(TONE)}
    server.robots = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fault_server.status", lambda code, **headers: status(500))
        assert only(fetching(server.url("/a.wav")))[0] == "robots_unknown"
    assert server.asked("/a.wav") == []


# --- a network that is not there ------------------------------------------------------------------------------------


def test_no_network_stops_the_run_and_costs_no_address(
    server: FaultServer, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pages = {"/a.wav": body(TONE), "/b.wav": body(wav(400))}
    gone = f"http://127.0.0.2:{closed_port()}/c.wav"
    source = fetching(server.url("/a.wav"), server.url("/b.wav"), gone)
    real = socket.getaddrinfo

    def no_names(*args: object, **named: object) -> object:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    with pytest.raises(NetworkDown, match=r"3 addresses at 2 hosts, the first http.*Temporary failure"):
        source.fetch(quiet)
    assert source.content_version().endswith("-not-fetched")
    with pytest.raises(InputError, match="is not fetched on this machine"):
        source.items()
    monkeypatch.setattr(socket, "getaddrinfo", real)
    assert ended(source) == {server.url("/a.wav"): "", server.url("/b.wav"): "", gone: "unreachable"}


def test_a_network_that_goes_away_on_the_way_costs_no_address(
    server: FaultServer, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def names(host: str, *args: object, **named: object) -> object:
        """Resolve until the first answer has come."""
        if host == "127.0.0.3" or server.log:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *args, **named)  # type: ignore[arg-type]

    server.pages = {f"/{n}.wav": body(wav(300 + n)) for n in range(3)}
    others = [f"http://127.0.0.3:{closed_port('127.0.0.3')}/{n}.wav" for n in range(3)]
    monkeypatch.setattr(socket, "getaddrinfo", names)
    private = ("127.0.0.2/31",)
    source = fetching(
        *map(server.url, server.pages), *others, connections=2, connections_per_host=1, private_networks=private
    )
    with pytest.raises(NetworkDown):
        source.fetch(quiet)
    assert len(server.log) == 4, "robots.txt and three recordings, over one connection"
    monkeypatch.setattr(socket, "getaddrinfo", real)
    assert sorted(ended(source).values()) == ["", "", "", "unreachable", "unreachable", "unreachable"]
    assert {one.path for one in server.log[4:]} == {"/robots.txt"}, "what was fetched stays"


def test_a_network_that_breaks_off_at_last_costs_no_address(
    server: FaultServer, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def names(host: str, *args: object, **named: object) -> object:
        if len(server.asked("/a.wav")) >= download_queue.ROUNDS:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *args, **named)  # type: ignore[arg-type]

    server.pages = {"/a.wav": reset}
    source = fetching(server.url("/a.wav"))
    monkeypatch.setattr(socket, "getaddrinfo", names)
    with pytest.raises(NetworkDown):
        source.fetch(quiet)
    monkeypatch.setattr(socket, "getaddrinfo", real)
    assert ended(source) == {server.url("/a.wav"): "cut_off"}


# --- a second time --------------------------------------------------------------------------------------------------


def test_a_second_fetch_moves_nothing(server: FaultServer, fetching: Fetching) -> None:
    date = "Mon, 02 Nov 2026 10:00:00 GMT"
    server.pages = {"/a.wav": body(TONE, etag='W/"1"'), "/b.wav": body(wav(400), modified=date), "/c.wav": status(404)}
    rows = tuple(map(server.url, server.pages))
    source = fetching(*rows)
    source.fetch(quiet)
    version, count = source.content_version(), len(server.log)
    assert source.fetch(quiet) == {}
    assert len(server.log) == count, "what is fetched is not asked for"
    assert source.fetch(quiet, again=True) == {"unchanged": 2, "http_404": 1}
    # A snapshot of another name asks again, and moves nothing either.
    later = fetching(*rows, snapshot="later")
    assert later.fetch(quiet) == {"fetched": 2, "http_404": 1}
    assert [one.status for one in server.log if one.path in ("/a.wav", "/b.wav")] == [200, 200, 304, 304, 304, 304]
    assert source.content_version() == later.content_version() == version
    # What changed is fetched; what was there before stays when its server fails.
    server.pages = {"/a.wav": body(wav(500), etag='"2"'), "/b.wav": status(500), "/c.wav": body(wav(600))}
    assert source.fetch(quiet, again=True) == {"fetched": 2, "kept": 1}
    assert source.content_version() != version
    assert later.content_version() == version, "another snapshot stays as it was fetched"
    # Another limit holds for what is there, too.
    server.pages = {"/a.wav": body(wav(500), etag='"2"')}
    assert only(fetching(server.url("/a.wav"), snapshot="small", max_bytes=1000))[0] == "too_large"
    assert server.asked("/a.wav")[-1].status == 304


def test_the_version_follows_from_the_bytes_and_not_from_the_list(
    server: FaultServer, fetching: Fetching, tmp_path: Path
) -> None:
    server.pages = {"/a.wav": body(TONE), "/b.wav": status(404)}
    a, b = server.url("/a.wav"), server.url("/b.wav")
    source = fetching(a, b, licence="MIT")
    source.fetch(quiet)
    version = source.content_version()
    (tmp_path / "same.txt").write_text(f"# turned round\n{b}\n{a}\n{a}\n")
    lists = (str(tmp_path / "same.txt"),)
    for options in ({}, {"connections": 3, "pause_s": 0.01}):
        assert fetching(licence="MIT", lists=lists, **options).content_version() == version
    for rows in ([a], [{"url": a, "licence": "CC0-1.0"}, b], [{"url": a, "title": "A"}, b]):
        other = fetching(*rows, licence="MIT")
        assert other.fetch(quiet) == {}, "nothing is fetched anew for it"
        assert other.content_version() != version
    # A list that grows is fetched as far as it is new.
    grown = fetching(a, b, server.url("/c.wav"), licence="MIT")
    assert grown.content_version().endswith("-not-fetched")
    assert grown.fetch(quiet) == {"http_404": 1}


# --- as a dataset ---------------------------------------------------------------------------------------------------


def _graph() -> Graph:
    node = Node(
        name="raw_audio", group="crawl", description="", stage=ingest_audio, config=ingest_audio.Config(),
        contract=ingest_audio.CONTRACT, has_source=True,
    )  # fmt: skip
    return Graph("recipe", [node])


def test_a_feed_becomes_recordings_with_their_addresses(
    server: FaultServer, fetching: Fetching, store: ArtifactStore, execution: Execution, tmp_path: Path
) -> None:
    one = server.url("/one.wav")
    server.pages = {
        "/feed.xml": body(RSS.format(licence=BY, one=one).encode(), "application/rss+xml"),
        "/one.wav": body(TONE),
        "/two.wav": body(b"RIFF....WAVE"),
        "/no": body(b"<html>", "text/html"),
    }
    feeds = (server.url("/feed.xml"), server.url("/no"), server.url("/lost"))
    source = fetching(lists=(), feeds=feeds, unlicensed=False)
    graph = _graph()
    (before,) = status_of(store, graph, {}, lambda node, partition: source)
    assert (before.state, server.log) == ("missing", []), "looking fetches nothing"
    built = build(store, graph, graph["raw_audio"], None, execution, source)
    (row,) = built.artifact.records("recordings", Recording)
    assert (row.source_uri, row.source_url, row.licence, row.language) == (one, one, "CC-BY-4.0", "en")
    rejects = {row.source_uri: row.reason for row in built.artifact.records("rejects", Reject)}
    assert rejects == {
        server.url("/two.wav"): "undecodable", f"{server.url('/feed.xml')}#g3": "no_enclosure",
        server.url("/no"): "bad_feed", server.url("/lost"): "http_404",
    }  # fmt: skip
    counts = built.artifact.manifest.counts
    assert (counts.records_in, counts.records_kept, sum(counts.dropped.values())) == (5, 1, 4)
    (file,) = [shard.path for shard in built.artifact.manifest.attachments if shard.path.startswith("episodes")]
    found = [json.loads(line) for line in store.files.read(f"{built.artifact.path}/{file}").splitlines()]
    assert {"url": one, "recording_id": row.recording_id, "title": "One"}.items() <= found[0].items()
    (after,) = status_of(store, graph, {}, lambda node, partition: source)
    count = len(server.log)
    assert after.state == "fresh"
    assert build(store, graph, graph["raw_audio"], None, execution, source).cached
    assert len(server.log) == count
    # The same bytes in another home are the same data.
    elsewhere = DownloadedSource(source.downloads, tmp_path / "elsewhere", "mine")
    other = ArtifactStore(tmp_path / "other", tmp_path / "cache")
    again = build(other, graph, graph["raw_audio"], None, execution, elsewhere)
    assert not again.cached
    assert again.artifact.data_version == built.artifact.data_version


def test_what_is_taken_down_is_deleted_and_not_fetched_again(
    server: FaultServer, fetching: Fetching, store: ArtifactStore, execution: Execution
) -> None:
    server.pages = {"/a.wav": body(TONE), "/b.wav": body(wav(400))}
    a, b = server.url("/a.wav"), server.url("/b.wav")
    source, graph = fetching(a, b), _graph()
    build(store, graph, graph["raw_audio"], None, execution, source)
    forget(store, a, by="Ann", reason="asked for it")
    assert Shelf(source.folder).forget(a)
    assert sum(path.is_file() for path in (source.folder / "blobs").rglob("*")) == 1
    built = build(store, graph, graph["raw_audio"], None, execution, source)
    assert [row.source_url for row in built.artifact.records("recordings", Recording)] == [b]
    assert built.artifact.manifest.counts.dropped == {"forgotten": 1}
    assert ended(fetching(a, b, snapshot="later"))[a] == "forgotten"
    assert len(server.asked("/a.wav")) == 1


def test_the_command_fetches_and_a_takedown_deletes(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.pages = {"/a.wav": body(TONE, etag='"1"'), "/b.wav": status(404)}
    (tmp_path / "talks.txt").write_text("".join(f"{server.url(path)}\n" for path in server.pages))
    (tmp_path / "talks.py").write_text(
        "from spelangy_assets import lab\n"
        f"talks = lab.Downloads(lists=({str(tmp_path / 'talks.txt')!r},), licence='MIT', pause_s=0.0,"
        " private_networks=('127.0.0.2',))\n"
        "RECIPE = lab.Recipe('talks', lab.recordings({'one': talks, 'two': talks}))\n"
    )
    monkeypatch.setenv("SPELANGY_HOME", str(tmp_path / "home"))
    command = ["fetch", str(tmp_path / "talks.py"), "--only", "one"]
    assert main(command) == 0
    assert capsys.readouterr().out == "2 of 2 addresses are done\nraw_audio@one: 1 fetched, 1 http_404\n"
    assert main(command) == 0
    assert capsys.readouterr().out.endswith("raw_audio@one: 1 http_404, 1 unchanged\n")
    assert main([*command[:3], "three"]) == 2
    assert "talks fetches no snapshot 'three'; it fetches one, two" in capsys.readouterr().err
    ArtifactStore(tmp_path / "home" / "store", tmp_path / "cache").files.replace("forgotten.json", b"[]")
    assert main(["forget", server.url("/a.wav"), "--by", "Ann", "--reason", "asked for it"]) == 0
    assert [path for path in (tmp_path / "home" / "downloads" / "blobs").rglob("*") if path.is_file()] == []
    assert main(command) == 0, "and it is not asked for again"
    assert [one.status for one in server.asked("/a.wav")] == [200, 304]


def test_bytes_that_were_lost_are_fetched_again(server: FaultServer, fetching: Fetching) -> None:
    server.pages = {"/a.wav": body(TONE, etag='"1"')}
    source = fetching(server.url("/a.wav"))
    source.fetch(quiet)
    version = source.content_version()
    for blob in (source.folder / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    assert source.content_version() == f"{version}-not-fetched"
    source.fetch(quiet)
    assert source.content_version() == version
    assert [one.status for one in server.asked("/a.wav")] == [200, 200]


def test_a_line_that_a_kill_tore_is_passed_over(server: FaultServer, fetching: Fetching) -> None:
    server.pages = {"/a.wav": body(TONE), "/b.wav": body(wav(400))}
    source = fetching(*map(server.url, server.pages))
    source.fetch(quiet)
    version = source.content_version()
    (journal,) = (source.folder / "snapshots").iterdir()
    journal.write_bytes(journal.read_bytes()[:-20])
    assert source.content_version() != version
    assert source.fetch(quiet) == {"fetched": 1}
    assert source.content_version() == version
    assert len(journal.read_bytes().splitlines()) == 2


def test_downloads_are_audio() -> None:
    downloads = lab.Downloads(lists=("talks.csv",))
    assert lab.recordings({"talks": downloads}).sources == {"talks": downloads}
    with pytest.raises(lab.RecipeError, match="Downloads is no source"):
        lab.pages({"talks": downloads})
