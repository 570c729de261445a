"""What every file of the project keeps to; each rule has its reason in its test's words."""

import ast
import functools
import re
import subprocess
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for folder in ("spelangy_assets", "spelangy_model", "tools", "benchmarks")
    for path in (PROJECT / folder).rglob("*.py")
)
THIS = Path(__file__).name


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports_of(path: Path) -> frozenset[str]:
    """Return the dotted names of everything that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


@functools.cache
def calls_of(path: Path) -> list[tuple[str, ast.Call]]:
    """Return every call of a file with the dotted name of what is called."""
    return [(ast.unparse(node.func), node) for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]


def is_true(call: ast.Call, keyword: str) -> bool:
    values = [item.value for item in call.keywords if item.arg == keyword]
    return any(isinstance(value, ast.Constant) and value.value is True for value in values)


def offences(rule: Callable[[Path], Iterator[str]]) -> str:
    """Return one line for each offence of the project's sources against a rule."""
    return "\n".join(f"{path.relative_to(PROJECT)}: {what}" for path in SOURCES for what in rule(path))


def test_a_module_says_what_belongs_in_it():
    def rule(path: Path) -> Iterator[str]:
        if path.name != "__init__.py" and not ast.get_docstring(parsed(path)):
            yield "no docstring"

    assert not offences(rule)


def test_annotations_are_there_for_dagster():
    """Dagster reads the annotation of `context` as an object, not as text."""

    def rule(path: Path) -> Iterator[str]:
        dagster = any(name.split(".")[0] == "dagster" for name in imports_of(path))
        if dagster and "__future__.annotations" in imports_of(path):
            yield "postponed annotations"

    assert not offences(rule)


PICKLERS = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")


LOADING = PROJECT / "spelangy_model" / "pretrained.py"


def test_data_is_never_unpickled():
    """A pickle runs code, as remote code does: data is Parquet, JSON, FLAC and safetensors."""

    def rule(path: Path) -> Iterator[str]:
        for name, call in calls_of(path):
            if name.split(".")[0] in PICKLERS:
                yield f"line {call.lineno}: {name}"
            if name == "torch.load" and not is_true(call, "weights_only"):
                yield f"line {call.lineno}: torch.load without weights_only=True"
            for keyword in ("allow_pickle", "trust_remote_code"):
                if is_true(call, keyword):
                    yield f"line {call.lineno}: {keyword}=True"

    assert not offences(rule)


def test_models_are_loaded_in_one_place():
    """What a folder of others may hold is looked at there: code, pickles, names of files elsewhere."""

    def rule(path: Path) -> Iterator[str]:
        for name, call in calls_of(path) if path != LOADING else ():
            last = name.rsplit(".", 1)[-1]
            if (last == "from_pretrained" and name != "super().from_pretrained") or name == "torch.load":
                yield f"line {call.lineno}: {name}, not by spelangy_model.pretrained"
            if last == "pipeline" and name.startswith(("transformers.", "pipeline")):
                yield f"line {call.lineno}: {name}, which loads whatever it is given"
        for module in imports_of(path) & {"torch.load", "torch.serialization.load", "torch.hub"}:
            yield f"imports {module}"

    assert not offences(rule)


GLOBAL_DRAWS = (
    *("np.random.", "numpy.random.", "random.", "secrets.", "os.urandom", "uuid.uuid1", "uuid.uuid4", "torch.seed"),
)
# A library that draws from a global generator is seeded from stable_seed, and the state put back.
SEEDING = ("manual_seed", "seed", "set_seed", "get_state", "set_state", "fork_rng")


def test_randomness_comes_from_rng_alone():
    """A draw from anywhere else would not be the same in another process, order or worker."""

    def rule(path: Path) -> Iterator[str]:
        if path == PROJECT / "spelangy_model" / "rng.py":
            return
        for module in {name.split(".")[0] for name in imports_of(path)} & {"random", "secrets"}:
            yield f"imports {module}"
        for name, call in calls_of(path):
            if name.rsplit(".", 1)[-1] in SEEDING and name != "torch.seed":
                if "spelangy_model.rng.stable_seed" not in imports_of(path):
                    yield f"line {call.lineno}: {name} with another seed than stable_seed's"
            elif name.startswith(GLOBAL_DRAWS):
                yield f"line {call.lineno}: {name}, not drawn from spelangy_model.rng.stable_rng"

    assert not offences(rule)


ODD = {chr(code) for code in (0x2018, 0x2019, 0x201C, 0x201D, 0x2013, 0x2014, 0x2026, 0x00A0, 0x200B, 0xFEFF)}


def test_comments_and_docstrings_are_of_ascii_punctuation():
    """Quotes and dashes that only look like ASCII end up in commands that people copy. Strings may hold any text."""

    def rule(path: Path) -> Iterator[str]:
        if not ODD & set(path.read_text(encoding="utf-8")):
            return
        with path.open("rb") as stream:
            tokens = [token for token in tokenize.tokenize(stream.readline) if token.type == tokenize.COMMENT]
        yield from (f"line {token.start[0]}: {token.string}" for token in tokens if ODD & set(token.string))
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if ODD & set(text):
                    yield text.splitlines()[0]

    assert not offences(rule)


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Every text file of the repository."""
    asked = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=False, cwd=PROJECT)
    if asked.returncode != 0:
        pytest.skip("not a checkout")
    files = [PROJECT / name for name in asked.stdout.split("\0") if name]
    texts = {".py", ".toml", ".md", ".yaml", ".yml", ".txt", ".cfg", ".json", ".html", ".css", ".js", ".sh", ""}
    return [path for path in files if path.suffix in texts and path.is_file()]


# Words of a private dialect in place of the field's: transcribed, recognized, spoken; reported, stated; no one; costly.
DIALECT = re.compile(r"(heard|hears|told|tells|nobody|anybody|whoever|dear|dearer|teller)", re.IGNORECASE)
PHRASES = re.compile(
    r"\b(lies? (in|on|at|below|beside|outside|there|elsewhere|here)|mend(ed|s|ing)?|of one's own)\b", re.IGNORECASE
)  # is, is stored; fix, repair; your own
PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # of `run_with_aTimeout`: run, with, a, Timeout
# What holds such a word as data, each with its reason.
QUOTED = {
    "spelangy_assets/sample/world.py": "the first name of a mark, which digests and so voices are keyed by",
    "spelangy_assets/sample/render.py": "the first names of two splits, by which distractors are drawn",
    "spelangy_model/text/questions.py": "a pattern of what pages ask: have you heard of it?",
    "tests/architecture/test_tidy.py": "the list itself",
}
CODE = ("spelangy_assets/", "spelangy_model/", "tests/", "benchmarks/", "tools/", "examples/")


def private_words(text: str) -> list[str]:
    """Return the words of a text or a name that are of the dialect."""
    return [part for part in PARTS.findall(text) if DIALECT.fullmatch(part)]


def test_names_strings_and_prose_are_in_plain_words(tracked: list[Path]):
    """Names, strings, comments and docstrings of all code, and the templates of pages, use the words of the field."""
    found = []
    for path in tracked:
        name = path.relative_to(PROJECT).as_posix()
        if path.suffix not in (".py", ".html", ".css", ".js") or not name.startswith(CODE) or name in QUOTED:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found += [f"{name}:{number}: {word}" for word in private_words(line)]
            if phrase := None if name.startswith("tests/") else PHRASES.search(line):
                found.append(f"{name}:{number}: {phrase[0]}")
        found += [f"{name}: its own name" for _ in private_words(path.stem)]
    assert not found, "\n".join(found)


def test_every_file_that_quotes_such_a_word_still_does(tracked: list[Path]):
    """A reason that no file needs any more is gone."""
    assert {(PROJECT / name) for name in QUOTED} <= set(tracked)
    assert [name for name in QUOTED if not private_words((PROJECT / name).read_text(encoding="utf-8"))] == []


def test_a_private_word_is_found_in_any_kind_of_name():
    words = ["told", "Teller", "heard", "HEARD"]
    assert private_words("test_what_is_told, TellerOfHours, `heard_again`, NAMED_HEARD") == words
    assert private_words("a shoulder, the teleprompter, withheld, ear, golden, untold_x") == []


def test_no_file_names_a_machine(tracked: list[Path]):
    """The project runs wherever it is put; a path of one machine works there alone."""
    places = ["/" + place for place in ("work/", "home/", "Users/", "root/", "tmp/")]
    # A URL may hold such a word in its path; a path of a machine starts with it.
    starts = tuple(mark + place for place in places for mark in " \"'`=(:")
    found = [
        f"{path.relative_to(PROJECT)}:{number}: {line.strip()[:80]}"
        for path in tracked
        if path.name != THIS
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if line.startswith(tuple(places)) or any(start in line for start in starts)
    ]
    assert not found, "\n".join(found)


def test_what_is_built_is_not_tracked(tracked: list[Path]):
    names = [path.relative_to(PROJECT).as_posix() for path in tracked]
    assert not [name for name in names if ".egg-info/" in name or "__pycache__" in name or name.startswith("dist/")]
