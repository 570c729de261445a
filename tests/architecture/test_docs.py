"""The documents: their links lead somewhere, their names are the code's, and their words are plain."""

import ast
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

PROJECT = Path(__file__).resolve().parents[2]
GENERATED = ("lab.md", "licences.md", "options.md", "record_tables.md", "reliability.md")  # by tools and by a benchmark
MEASURED = ("benchmarks.md", "scaling.md", "web_speech.md")  # their tables and subtitles are output of benchmarks
PAGES = [*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").glob("*.md")), *PROJECT.glob("deploy/**/*.md")]
WRITTEN = [path for path in PAGES if path.name not in (*GENERATED, "CHANGELOG.md")]
README = PROJECT / "README.md"
IDS = [path.relative_to(PROJECT).as_posix() for path in PAGES]


@cache
def tokens_of(path: Path) -> list:
    return MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as repository hosts make them."""
    tokens = tokens_of(path)
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links_of(path: Path) -> list[str]:
    inline = [child for token in tokens_of(path) for child in token.children or ()]
    found = [child.attrGet("href") or child.attrGet("src") for child in inline if child.type in ("link_open", "image")]
    return [str(link) for link in found if link and not re.match(r"[a-z]+:", str(link))]


def broken_links(path: Path) -> list[str]:
    broken = []
    for link in links_of(path):
        name, _, anchor = unquote(link).partition("#")
        target = path.parent / name if name else path
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif anchor and anchor not in anchors_of(target):
            broken.append(f"{link}: {target.name} has no such heading")
    return broken


@pytest.mark.parametrize("path", PAGES, ids=IDS)
def test_every_link_leads_somewhere(path: Path) -> None:
    assert not broken_links(path), "\n".join(broken_links(path))


def test_a_link_into_nothing_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `thing`, twice\n\n[a](#one-thing-twice) [b](#two) [c](none.md) [d](https://example.org)\n")
    assert links_of(page) == ["#one-thing-twice", "#two", "none.md"]
    assert broken_links(page) == ["#two: page.md has no such heading", "none.md: no such file"]


def test_the_readme_is_short_and_shows_the_example_of_the_repository() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 120
    (shown,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    example = (PROJECT / "examples" / "chunk_length.py").read_text()
    assert example.endswith(shown)
    assert set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)) <= set(
        re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    )


def names_of(module: Path) -> set[str]:
    """Return the names that a module's top level defines or imports."""
    found: set[str] = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.ImportFrom):
            found.update(alias.asname or alias.name for alias in node.names)
    return found


def exists(name: str) -> bool:
    """Return whether a dotted name, relative to one of the packages, is a module or stands at the top level of one."""
    for package in ("spelangy_assets", "spelangy_model"):
        path = PROJECT.joinpath(package, *name.split("."))
        module = path.parent / "__init__.py" if path.parent.is_dir() else path.parent.with_suffix(".py")
        if path.with_suffix(".py").is_file() or (module.is_file() and path.name in names_of(module)):
            return True
    return False


def test_the_glossary_names_what_the_code_has() -> None:
    table = (PROJECT / "docs" / "glossary.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| `([^|`]+)` \| [A-Z]", table, re.MULTILINE)
    assert len(rows) >= 40
    assert len(rows) == sum(line.startswith("| ") for line in table.splitlines()) - table.count("\n## ")
    assert not [f"{term}: {name}" for term, name in rows if not exists(name)]


def test_the_api_page_has_every_name_of_a_recipe() -> None:
    shown = re.findall(r"^::: ([\w.]+)$", (PROJECT / "docs" / "api.md").read_text(), re.MULTILINE)
    lab = ast.parse((PROJECT / "spelangy_assets" / "lab.py").read_text())
    (listed,) = [node.value for node in lab.body if isinstance(node, ast.Assign)]
    wanted = {f"spelangy_assets.lab.{name}" for name in ast.literal_eval(listed)}
    assert wanted == {name for name in shown if name.startswith("spelangy_assets.lab.")}
    assert len(shown) == len(set(shown))


# Words of a private dialect, and what to write instead. Code keeps its names: text in backticks is not searched.
DIALECT = {
    r"\bheard?\b(?! (?:about|of)\b)": "recognized, listened to, spoken",
    r"\btold\b": "reported, given, distinguished",
    r"\bnobody\b": "no one; better: name who or what",
    r"\bdear(?:er|est)?\b": "costly, expensive",
    r"\bmended?\b": "fix, repair",
    r"\bof one's own\b": "of your own",
    r"\blies? (?:in|on|at|below|beside|outside|there|elsewhere)\b": "is, is stored",
    r"\bstands? in\b(?! for)": "is in",
    r"\ball that\b": "everything that",
}


@pytest.mark.parametrize("path", WRITTEN, ids=[path.relative_to(PROJECT).as_posix() for path in WRITTEN])
def test_documents_are_in_plain_words(path: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", lambda code: "\n" * code[0].count("\n"), path.read_text(), flags=re.DOTALL)
    found = [
        f"line {number}: {match[0]!r} ({instead})"
        for number, line in enumerate(prose.splitlines(), 1)
        if not (path.name in MEASURED and line.startswith(("|", "#")))
        for pattern, instead in DIALECT.items()
        for match in re.finditer(pattern, line, re.IGNORECASE)
    ]
    assert not found, "\n".join(found)


@cache
def texts_of_code() -> tuple[str, ...]:
    """Return every string of both packages; a value in an f-string is "..."."""
    found = []
    for path in [*PROJECT.glob("spelangy_assets/**/*.py"), *PROJECT.glob("spelangy_model/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


def is_in_code(message: str) -> bool:
    """Return whether a string of the code has the parts of a message between its "...", in their order."""
    parts = message.split("...")
    pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
    longest = max(parts, key=len)  # to look for it takes a hundredth of the time of the pattern
    return any(pattern.search(text) for text in texts_of_code() if longest in text)


def test_every_message_of_the_errors_page_is_in_the_code() -> None:
    page = (PROJECT / "docs" / "errors.md").read_text()
    messages = re.findall(r"^\| `([^`]+)` \| \S", page, re.MULTILINE)
    assert all(sum(map(str.isalpha, message)) >= 8 for message in messages)  # else any text has it
    assert len(messages) == sum(line.startswith("| `") for line in page.splitlines()) >= 35
    assert not [message for message in messages if not is_in_code(message)]
    assert not is_in_code("the model ... is on the moon; get it once with: hf download ...")
