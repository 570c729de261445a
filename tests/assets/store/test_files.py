import json
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spelangy_assets.store.files import Files


@pytest.fixture(params=["path", "string", "uri"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    root = tmp_path / "a root with spaces"
    return Files({"path": root, "string": str(root), "uri": root.as_uri()}[request.param])


def test_what_was_written_is_read(files: Files):
    files.write("a/b/data.bin", b"\x00\xff")
    files.replace("a/mark.json", b"1")
    files.replace("a/mark.json", b"2")
    assert files.read("a/b/data.bin") == b"\x00\xff"
    assert files.read("a/mark.json") == b"2"
    assert files.names("a") == [("b", True), ("mark.json", False)]
    assert files.sizes(["a/b/data.bin", "a/none", "a/mark.json"]) == [2, None, 1]


def test_bytes_are_as_they_were_given_whatever_the_name(files: Files):
    files.write("notes.json.gz", b"not packed")
    assert files.local("notes.json.gz").read_bytes() == files.read("notes.json.gz") == b"not packed"


def test_the_uri_leads_back_to_the_same_files(files: Files):
    files.write("a.bin", b"1")
    assert Files(files.uri).read("a.bin") == b"1"
    assert files.local("a.bin").read_bytes() == b"1"


def test_a_missing_file_is_reported_as_such(files: Files):
    with pytest.raises(FileNotFoundError):
        files.read("none")
    assert files.read_if_there("none") is None
    assert files.names("none") == []
    assert files.sizes([]) == []
    files.delete("none")


def test_a_deleted_folder_is_gone_with_all_in_it(files: Files):
    files.write("a/b/c.bin", b"1")
    files.write("d.bin", b"1")
    files.delete("a")
    assert files.names("") == [("d.bin", False)]


def test_a_reader_never_sees_half_a_replacement(files: Files, monkeypatch: pytest.MonkeyPatch):
    files.replace("mark.json", b"old")

    def die(self: Path, target: Path) -> None:
        assert target.read_bytes() == b"old"
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        files.replace("mark.json", b"new")
    assert files.read("mark.json") == b"old"


def test_a_swap_is_done_where_the_old_bytes_are_and_nowhere_else(files: Files):
    assert not files.swap("a/mark.json", b"2", old=b"1")
    assert files.read_if_there("a/mark.json") is None
    assert files.swap("a/mark.json", b"1", old=None)
    assert not files.swap("a/mark.json", b"2", old=None)
    assert not files.swap("a/mark.json", b"2", old=b"0")
    assert files.read("a/mark.json") == b"1"
    assert files.swap("a/mark.json", b"1", old=None)  # it is there, by any writer
    assert files.swap("a/mark.json", b"2", old=b"1")
    assert files.read("a/mark.json") == b"2"


def test_no_swap_is_lost(files: Files):
    def add(name: int) -> None:
        while True:
            old = files.read_if_there("list.json")
            if files.swap("list.json", json.dumps([*json.loads(old or b"[]"), name]).encode(), old):
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert sorted(json.loads(files.read("list.json"))) == list(range(24))


def test_a_relative_root_does_not_move_with_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    files = Files("store")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    files.write("a.bin", b"1")
    assert (tmp_path / "store" / "a.bin").read_bytes() == b"1"


def test_an_s3_uri_shows_neither_its_secret_nor_its_options():
    files = Files("s3://name:secret@bucket/a/prefix/?endpoint_url=http://localhost:1&region_name=us-east-1")
    assert files.uri == "s3://bucket/a/prefix"
    assert files.full("x/y") == "bucket/a/prefix/x/y"
    assert not files.is_local
    with pytest.raises(ValueError, match="not a local folder"):
        files.local("x")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://KAYNAME:half/OtherHalf@bucket/prefix", "s3://KAYNAME:half?OtherHalf@bucket/prefix?region_name=x",
        "s3://KAYNAME:half#OtherHalf@bucket", "S3://KAYNAME:half/OtherHalf@bucket", "s3://KAYNAME:OtherHalf/prefix",
        "s3://bucket/prefix?OtherHalf", "s3://bucket/OtherHalf?endpoint_ulr=host", "gs://KAYNAME:OtherHalf@bucket",
        "https://KAYNAME:OtherHalf@host/bucket", "s3n://KAYNAME:OtherHalf@bucket",
    ],
)  # fmt: skip
def test_a_uri_that_cannot_be_read_is_refused_without_repeating_its_secrets(uri):
    with pytest.raises(ValueError, match="://") as raised:
        Files(uri)
    words = "".join(traceback.format_exception(raised.value))
    words = words[words.index("ValueError: ") :]
    assert "KAYNAME" not in words
    assert "half" not in words.lower()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("endpoint_override=localhost:1", r"no option \['endpoint_override'\]; there are region_name, endpoint_url, "),
        ("aws_secret_access_key=x", r"no option \['aws_secret_access_key'\]"),
        ("endpoint_url=localhost:1", "endpoint_url begins with http"),
        ("max_attempts=few", "max_attempts is a whole number from 1 on"),
        ("use_ssl=no", "use_ssl is true or false"),
        ("verify=false", "PyArrow, which moves the shards, verifies every certificate"),
        ("region_name=x&profile_name=absent", r"config profile \(absent\) could not be found"),
    ],
)
def test_an_option_of_a_uri_that_cannot_be_is_named_with_what_can(query: str, words: str):
    with pytest.raises(ValueError, match=words):
        Files(f"s3://bucket/prefix?{query}")


def test_a_secret_and_a_prefix_may_hold_every_mark_percent_encoded():
    query = "?endpoint_url=http://localhost:1&region_name=us-east-1"
    assert Files(f"s3://name:a%2Fb%40c%3Fd@bucket/p%401{query}").uri == "s3://bucket/p@1"
    assert Files(f"S3://bucket/p{query}").uri == "s3://bucket/p"
