"""Pages of other sites in the same browser as the UI: what they can do with Dagster's server alone, and with ours."""

from __future__ import annotations

import functools
import http.server
import json
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from homes import served

pytestmark = pytest.mark.slow

CODE = """
import dagster as dg

names = dg.DynamicPartitionsDefinition(name="names")

@dg.asset(partitions_def=names)
def thing():
    return 1

defs = dg.Definitions([thing])
"""
MUTATION = """mutation{addDynamicPartition(repositorySelector:{repositoryName:"__repository__",
repositoryLocationName:"LOCATION"},partitionsDefName:"names",partitionKey:"NAME"){__typename}}"""
# A page of another site. Each way adds a partition of its own name.
PAGE = """
<html><body><iframe name="hole"></iframe>
<form id="f" method="post" enctype="text/plain" target="hole" action="TARGET/graphql?query=FORM"></form>
<script>
const seen = {};
const image = new Image();
image.onerror = image.onload = () => seen.image = true;
image.src = "TARGET/graphql?query=IMAGE";
fetch("TARGET/graphql?query=FETCH", {method: "POST", mode: "no-cors", body: ""})
  .then(() => seen.fetch = true, () => seen.fetch = true);
document.getElementById("f").submit();
document.getElementsByName("hole")[0].onload = () => seen.form = true;
const socket = new WebSocket("TARGET/graphql".replace("http", "ws"), "graphql-ws");
socket.onopen = () => seen.socket = "opened";
socket.onclose = () => seen.socket = seen.socket || "refused";
const done = setInterval(() => {
  if (!(seen.image && seen.fetch && seen.form && seen.socket)) return;
  document.title = "done " + seen.socket;
  clearInterval(done);
}, 100);
</script></body></html>
"""
REBINDING = "rebound.example"


def mutation(name: str, location: str) -> str:
    return MUTATION.replace("\n", " ").replace("LOCATION", location).replace("NAME", name)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder whose pages a server of another origin shows, and its address."""
    folder = tmp_path_factory.mktemp("elsewhere")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    import shutil

    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine: install Debian's package chromium")
    # The last argument does what a site's name server does in DNS rebinding.
    arguments = ["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP {REBINDING} 127.0.0.1"]
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module", params=["dagster-webserver", "ui"])
def serving(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, Path]]:
    """(which program serves, its address, its home)."""
    home = tmp_path_factory.mktemp("guarded")
    furnish(home)
    with served(request.param, [], home, home) as address:
        yield request.param, address, home


def furnish(home: Path) -> None:
    """Write an instance and a code location of one asset."""
    (home / "dagster").mkdir()
    (home / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    (home / "things.py").write_text(CODE)
    location = {"python_file": {"relative_path": "things.py", "location_name": "things"}}
    (home / "workspace.yaml").write_text(json.dumps({"load_from": [location]}))


def added(home: Path) -> set[str]:
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        return set(instance.get_dynamic_partitions("names"))


def ask(address: str, document: str, host: str = "") -> dict:
    """Ask as a program does, by POST."""
    body = json.dumps({"query": document}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    if host:
        request.add_header("Host", host)
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def test_a_page_of_another_site_changes_nothing(browser, serving, pages) -> None:
    program, address, home = serving
    folder, elsewhere = pages
    text = PAGE.replace("TARGET", address)
    for way in ("IMAGE", "FETCH", "FORM"):
        text = text.replace(way, urllib.parse.quote(mutation(way.lower(), "things")))
    (folder / f"{program}.html").write_text(text)
    page = browser.new_page()
    page.goto(f"{elsewhere}/{program}.html")
    page.wait_for_function("document.title.startsWith('done')", timeout=60_000)
    time.sleep(1)
    if program == "ui":
        assert page.title() == "done refused"
        assert added(home) == set()
    else:  # what it is for
        assert page.title() == "done opened"
        assert added(home) >= {"image", "fetch"}
    page.close()


def test_a_name_of_another_site_that_means_this_machine_is_refused(browser, serving) -> None:
    program, address, home = serving
    page = browser.new_page()
    rebound = address.replace("127.0.0.1", REBINDING)
    reply = page.goto(f"{rebound}/server_info")
    assert reply.status == (403 if program == "ui" else 200)
    wanted = mutation("rebound", "things")
    page.evaluate(
        """(query) => fetch('/graphql', {method: 'POST', headers: {'Content-Type': 'application/json'},
        body: JSON.stringify({query})}).then(reply => reply.text())""",
        wanted,
    )
    assert ("rebound" in added(home)) == (program != "ui")
    page.close()


def test_a_picture_of_the_page_itself_changes_nothing(browser, serving) -> None:
    program, address, home = serving
    page = browser.new_page()
    page.goto(f"{address}/server_info")
    target = f"/graphql?query={urllib.parse.quote(mutation('own', 'things'))}"
    page.evaluate(
        """(target) => new Promise(done => { const image = new Image(); image.onerror = image.onload = done;
        image.src = target; })""",
        target,
    )
    assert ("own" in added(home)) == (program != "ui")
    page.close()


def test_programs_and_links_of_other_sites_still_work(browser, serving, pages) -> None:
    program, address, home = serving
    folder, elsewhere = pages
    assert ask(address, mutation("program", "things"))["data"]["addDynamicPartition"]["__typename"]
    assert "program" in added(home)
    (folder / "link.html").write_text(f'<a href="{address}/assets/thing">the asset</a>')
    page = browser.new_page()
    page.goto(f"{elsewhere}/link.html")
    page.get_by_text("the asset").click()
    page.get_by_text("thing", exact=True).first.wait_for(timeout=60_000)
    page.close()
    if program == "ui":
        with pytest.raises(urllib.error.HTTPError, match="403"):
            ask(address, "query{version}", host="elsewhere.example")


def test_read_only_shows_and_changes_nothing(tmp_path: Path) -> None:
    furnish(tmp_path)
    with served("ui", ["--read-only"], tmp_path, tmp_path) as address:
        assert ask(address, "query{version}")["data"]["version"]
        kind = ask(address, mutation("x", "things"))["data"]["addDynamicPartition"]["__typename"]
        assert kind == "UnauthorizedError"
        daemons = "query{instance{daemonHealth{allDaemonStatuses{daemonType healthy}}}}"
        for _ in range(60):
            found = ask(address, daemons)["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
            if all(one["healthy"] for one in found if one["daemonType"] in ("SCHEDULER", "SENSOR")):
                break
            time.sleep(1)
        else:
            pytest.fail(f"the daemon does not run: {found}")
    assert added(tmp_path) == set()


def test_what_a_script_starts_in_the_background_ends_with_its_services(tmp_path: Path) -> None:
    """A shell lets such a process ignore Ctrl-C."""
    furnish(tmp_path)
    with served("ui", [], tmp_path, tmp_path, signal.SIG_IGN) as address:
        assert ask(address, "query{version}")["data"]["version"]
    log = (tmp_path / "log.txt").read_text()
    assert "Dagster services shut down." in log
    assert "killing" not in log
    assert log.rstrip().endswith("interrupted by SIGTERM; run again to continue")
