"""The command line: `spelangy COMMAND`, or `python -m spelangy_assets COMMAND`.

Put here: commands, their arguments, and what they print. Do not put here: work; each command calls another room.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import warnings
from gc import set_threshold
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from spelangy_assets.execution.recipe import Recipe
    from spelangy_assets.execution.status import Status
    from spelangy_assets.execution.targets import Target
    from spelangy_assets.settings import Settings
    from spelangy_assets.store.artifacts import ArtifactStore

# What a person fixes outside of the program: no traceback makes it clearer.
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
_MISTAKES = {  # by name: none of their modules is imported for `--help`
    *("RecipeError", "GraphError", "StoreError", "InputError", "PreflightError", "SettingsError", "LeaseError"),
    *("SourceUnavailable", "WorkerDied", "ValueError", "FileNotFoundError", "NotADirectoryError"),
}

app = typer.Typer(
    name="spelangy",
    help="An open data laboratory for speech-language pretraining.\n\n"
    "A RECIPE is a name (see `spelangy recipes`), or a file of your own: experiment.py or experiment.py:NAME. "
    "A DATASET is NAME, or NAME@SNAPSHOT of one that has snapshots.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

RecipeArgument = Annotated[str, typer.Argument(help="a name, or FILE.py or FILE.py:NAME", metavar="RECIPE")]
RecipeOption = Annotated[str, typer.Option("--recipe", help="a name, or FILE.py or FILE.py:NAME", metavar="RECIPE")]
DatasetArgument = Annotated[str, typer.Argument(help="NAME, or NAME@SNAPSHOT", metavar="DATASET")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]
By = Annotated[str, typer.Option(help="who answers for it")]
Reason = Annotated[str, typer.Option(help="why")]


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status: 2 after a mistake of the user, which is named in one line."""
    from spelangy_assets.cli.interrupts import run_until_interrupted

    # Libraries draw no bars in this process and its children: it has its own (progress_bar.py), and a log has none.
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    set_threshold(500_000)  # of garbage collection: imports make many objects that stay, and a short command ends soon
    warnings.filterwarnings("ignore", module="dagster")  # its notices on beta parameters, one a process and asset
    return run_until_interrupted(lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    command = typer.main.get_command(app)
    try:
        found = command.main(args=arguments, prog_name="spelangy", standalone_mode=False)
        return found if isinstance(found, int) else 0
    except typer.Exit as ended:
        return ended.exit_code
    except Exception as error:
        message = getattr(error, "format_message", None)  # of what typer refuses, whose base class is not public
        if message is not None:
            print(f"spelangy: {' '.join(message().split())}; see `spelangy --help`", file=sys.stderr)
            return 2
        if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("spelangy"):
            from spelangy_model.extras import cure

            print(f"spelangy: {cure(error.name)}", file=sys.stderr)
            return 2
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            print(f"spelangy: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
            return 2
        if not _MISTAKES & {kind.__name__ for kind in type(error).__mro__}:
            raise
        print(f"spelangy: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _version(shown: bool) -> None:
    if shown:
        from importlib.metadata import version

        print(f"spelangy {version('spelangy')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="the version")] = False,
) -> None:
    return


# --- recipes ------------------------------------------------------------------------------------------------------


@app.command()
def run(
    recipe: RecipeArgument,
    only: Annotated[
        list[str] | None, typer.Option(help="this dataset and what it is made from; may be given several times")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="what would be made, as `plan` says it")] = False,
    workers: Annotated[int, typer.Option(min=1, help="worker processes, one thread each")] = 2,
) -> int:
    """Make what a recipe asks for and is not there yet, and print its leaderboard.

    Examples: spelangy run sample; spelangy run chunk_length.py; spelangy run sample --only web_fine@2026-01
    """
    from spelangy_assets.cli.demo import demo
    from spelangy_assets.cli.pricing import plan_and_price, show_plan, show_spent, unreadable

    found, settings = _recipe(recipe), _settings()
    roots = _roots(found, only or [])
    if dry_run:
        return show_plan(found, settings, roots, workers, as_json=False)
    planned, price = plan_and_price(found, settings, roots, workers)
    if missing := unreadable(planned, found, settings):
        raise ValueError(missing[0])
    status = demo(found, settings, workers, roots=roots)
    show_spent(price, settings)
    return status


@app.command()
def plan(
    recipe: RecipeArgument,
    only: Annotated[list[str] | None, typer.Option(help="this dataset and what it is made from")] = None,
    workers: Annotated[int, typer.Option(min=1, help="worker processes, for the wall time")] = 2,
    as_json: JsonOption = False,
) -> int:
    """Say what a run would make and take from the store, and what it would cost, without making anything.

    Example: spelangy plan chunk_length.py
    """
    from spelangy_assets.cli.pricing import show_plan

    found, settings = _recipe(recipe), _settings()
    roots = _roots(found, only or [])
    status = show_plan(found, settings, roots, workers, as_json)
    return status if as_json else _show_needs(found, settings, roots) or status


@app.command()
def recipes(as_json: JsonOption = False) -> int:
    """List the recipes that there are."""
    from spelangy_assets.recipes.registry import known_recipes

    found = known_recipes()
    if as_json:
        print(json.dumps({name: one.description for name, one in found.items()}, indent=1))
    else:
        width = max(len(name) for name in found) + 2
        for name, one in found.items():
            print(f"{name:<{width}}{one.description}")
    return 0


@app.command()
def status(
    recipe: Annotated[str, typer.Argument(help="a name, or FILE.py or FILE.py:NAME")] = "sample",
    everything: Annotated[bool, typer.Option("--all", help="what is up to date, too")] = False,
    as_json: JsonOption = False,
) -> int:
    """Say what is out of date across a recipe's graph, and why; exit status 1 when anything is."""
    from spelangy_assets.execution.status import count_states

    statuses = _statuses(_recipe(recipe), _settings())
    shown = [one for one in statuses if everything or one.state != "fresh"]
    if as_json:
        print(json.dumps([_as_json(one) for one in shown], indent=1))
    else:
        for one in shown:
            print(f"{one.state:<9}{one.target:<36}{'+'.join(one.causes):<22}  {one.why}")
        print(", ".join(f"{count} {words}" for words, count in count_states(statuses).items()))
    return 0 if all(one.state == "fresh" for one in statuses) else 1


@app.command()
def lineage(
    dataset: Annotated[str, typer.Argument(help="NAME, or NAME@SNAPSHOT", metavar="[DATASET]")] = "",
    recipe: RecipeOption = "sample",
    url: Annotated[str, typer.Option(help="instead: every training row and run that holds what was there")] = "",
    below: Annotated[bool, typer.Option("--below", help="what was made from it")] = False,
    cost: Annotated[bool, typer.Option("--cost", help="what it cost with all that is above it, by stage")] = False,
    row: Annotated[str, typer.Option(help="of a leaderboard: the sources of this run's score alone")] = "",
) -> int:
    """Show what a dataset was made from, down to URLs and content hashes.

    Examples: spelangy lineage eval_fine; spelangy lineage --url https://example.org/talk.mp3
    """
    from spelangy_assets.cli.lineage import show_lineage

    if bool(dataset) == bool(url) or below + cost + bool(row) > 1:
        raise typer.BadParameter("name a dataset or --url, and at most one of --below, --cost and --row")
    return show_lineage(_store(), _name(recipe), *_split(dataset), url=url, below=below, cost=cost, row=row)


@app.command()
def diff(
    first: Annotated[str, typer.Argument(help="[RECIPE/]DATASET[@SNAPSHOT][#VERSION], or a RECIPE", metavar="A")],
    second: Annotated[str, typer.Argument(help="the same of the other side", metavar="B")],
    recipe: RecipeOption = "sample",
    sample: Annotated[int, typer.Option(min=0, help="records of each kind to show")] = 5,
    page: Annotated[Path | None, typer.Option(help="write a page with the records' sound here")] = None,
    as_json: JsonOption = False,
) -> int:
    """Say what differs between two datasets, two versions of one, or two recipes.

    Examples: spelangy diff web_fine chunk_length/web_fine_3s --page diff.html; spelangy diff sample chunk_length.py
    """
    from spelangy_assets.cli.diff import show_difference

    return show_difference(_store(), first, second, recipe, sample, page, as_json)


@app.command()
def export(
    dataset: Annotated[str, typer.Argument(help="[RECIPE/]NAME or NAME@SNAPSHOT", metavar="DATASET")],
    folder: Annotated[str, typer.Argument(help="where the files go: a folder, or an s3:// prefix")],
    to: Annotated[
        str, typer.Option("--to", help="hf, lhotse, nemo, webdataset; ctm: turns and words as RTTM, CTM, SRT")
    ],
    recipe: RecipeOption = "sample",
    table: Annotated[str, typer.Option(help="of a dataset that has several; default: the one that it is for")] = "",
    consent: Annotated[str, typer.Option(help="how those whose voices are in it agreed; it stands on the card")] = "",
    push: Annotated[
        str, typer.Option(metavar="OWNER/NAME", help="say what would go to this repository of the Hub")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="with --push: send it")] = False,
    public: Annotated[bool, typer.Option("--public", help="with --push: everybody can read it")] = False,
    permit: Annotated[
        list[str] | None, typer.Option(metavar="LICENCE", help="with --push: a stated licence that allows it, too")
    ] = None,
) -> int:
    """Write a dataset or a run, with its card, in a form that other tools read, and upload it.

    Examples: spelangy export web_fine out --to hf; spelangy export run_fine model --to hf --push me/run-fine
    """
    from spelangy_assets.cli.export import Push
    from spelangy_assets.cli.export import export as write

    if not push and (yes or public or permit):
        raise typer.BadParameter("--yes, --public and --permit belong to --push")
    asked = Push(push, permit or [], public, yes) if push else None
    return write(_store(), dataset, folder, to, _name(recipe), table, consent, asked)


@app.command()
def ask(
    run: Annotated[str, typer.Argument(help="[RECIPE/]RUN, or the folder of an exported model", metavar="RUN")],
    sounds: Annotated[list[Path] | None, typer.Argument(help="recordings of questions", metavar="[SOUND...]")] = None,
    text: Annotated[list[str] | None, typer.Option(help="a written question; may be given several times")] = None,
    option: Annotated[list[str] | None, typer.Option(help="an answer to compare; give two or more")] = None,
    recipe: RecipeOption = "sample",
    prefix: Annotated[str, typer.Option(help="the text that begins an answer; default: as the run is judged")] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="the longest answer")] = 32,
    as_json: JsonOption = False,
) -> int:
    """Ask a run questions, spoken or written, and print its answers.

    A question that cannot be asked is named in one line, and the exit status is 2; the others are answered.

    Examples: spelangy ask run_quest question.wav; spelangy ask run_quest --text "Who?" --option "Ann" --option "Ben"
    """
    from spelangy_assets.access import Store
    from spelangy_assets.cli.ask import ask as put

    return put(
        Store(_store(), _name(recipe)),
        run,
        [*(sounds or []), *(text or [])],
        option or [],
        _settings().device,
        as_json,
        **({"answer_prefix": prefix} if prefix else {}),
        max_answer_tokens=max_tokens,
    )


@app.command()
def talk(
    runs: Annotated[list[str], typer.Argument(help="[RECIPE/]RUN, or the folder of an exported model", metavar="RUN")],
    recipe: RecipeOption = "sample",
    port: Annotated[int, typer.Option(min=0, max=65535, help="of this machine; 0: a free one")] = 7860,
    prefix: Annotated[str, typer.Option(help="the text that begins an answer; default: as each run is judged")] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="the longest answer")] = 32,
) -> int:
    """Serve a page of this machine on which one asks runs by voice, file or text, their answers side by side.

    Example: spelangy talk run_fine run_quest
    """
    from spelangy_assets.access import Store
    from spelangy_assets.cli.talk import serve

    more = {**({"answer_prefix": prefix} if prefix else {}), "max_answer_tokens": max_tokens}
    return serve(Store(_store(), _name(recipe)), runs, port, _settings().device, **more)


@app.command()
def calibrate(
    truth: Annotated[Path, typer.Argument(help="JSONL with path and text, a line a recording")],
    snapshot: Annotated[str, typer.Argument(help="the snapshot that holds those recordings")],
    recipe: RecipeOption = "sample",
) -> int:
    """Fit the weights of the vote over recognizers on recordings whose text is known, and print them.

    Example: spelangy calibrate ~/podcasts/truth.jsonl podcasts
    """
    from spelangy_assets.cli.calibrate import calibrate as fit

    fit(_store(), _name(recipe), snapshot, truth)
    return 0


@app.command()
def speech(
    folder: Annotated[Path, typer.Argument(help="a folder of recordings")],
    name: Annotated[str, typer.Option(help="the snapshot's name; default: the folder's")] = "",
) -> int:
    """Make chunks and a listening page of a folder of your own recordings.

    Example: spelangy speech ~/podcasts --name podcasts
    """
    from spelangy_assets.cli.demo import web_speech

    return web_speech(folder, name or folder.resolve().name, _settings())


@app.command()
def ui(
    recipe: Annotated[list[str] | None, typer.Argument(help="experiments to load beside the settings' recipes")] = None,
    host: Annotated[str, typer.Option(help="the address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 3000,
    allow_host: Annotated[list[str] | None, typer.Option(metavar="NAME", help="a name of this machine")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="the page changes nothing")] = False,
) -> int:
    """Serve the Dagster UI, closed to pages of other sites; schedules and sensors run.

    Example: spelangy ui chunk_length.py
    """
    from spelangy_assets.cli.ui import serve_ui

    settings = _settings()
    references = [_recipe(one).reference for one in recipe or []]
    os.environ["SPELANGY_RECIPES"] = ",".join(dict.fromkeys([*settings.recipes, *references]))
    return serve_ui(host, port, allow_host or [], read_only=read_only)


# --- the store ----------------------------------------------------------------------------------------------------


@app.command()
def verify(
    dataset: Annotated[str, typer.Argument(help="NAME, or NAME@SNAPSHOT; default: the whole store")] = "",
    recipe: RecipeOption = "sample",
    deep: Annotated[bool, typer.Option("--deep", help="compare every byte, not the lengths of files alone")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="set damaged versions aside")] = False,
) -> int:
    """Say whether what was committed is still what was written; exit status 1 when it is not."""
    from spelangy_assets.store.verify import verify as verify_store
    from spelangy_assets.store.verify import versions_of

    store = _store()
    store.recipes()  # a store of another layout is refused before anything is read
    chosen = versions_of(store, _name(recipe), *_split(dataset)) if dataset else list(store.versions())
    if dataset and not chosen:
        raise ValueError(f"{_name(recipe)} has no version of {dataset} in this store")
    found = verify_store(store, chosen, deep, repair)
    for damage in found.damages:
        print(f"{damage.artifact.name}  {damage.artifact.path}  {damage.reason}")
        if damage.aside:
            print(f"  set aside: {damage.aside}; the next run makes it again")
    read = f", {found.bytes / 1e6:.1f} MB read" if deep else " by the lengths of their files"
    print(f"{len(found.damages)} of {found.versions} versions damaged{read}")
    return 1 if found.damages else 0


@app.command()
def gc(
    recipe: Annotated[str | None, typer.Option(help="only what was made for this recipe; default: all")] = None,
    days: Annotated[float, typer.Option(min=0, help="keep what was used within so many days")] = 7.0,
    published: Annotated[bool, typer.Option("--published", help="with --recipe: what it published, too")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="remove it; else it is listed")] = False,
) -> int:
    """List, or remove, what nothing published was made from."""
    import datetime

    from spelangy_assets.store.garbage import delete as delete_garbage
    from spelangy_assets.store.garbage import find_garbage

    store, now = _store(), datetime.datetime.now(datetime.UTC)
    garbage = find_garbage(store, datetime.timedelta(days=days), now, recipe, published)
    for one in garbage:
        print(f"{one.bytes / 1e6:>12.1f} MB  {one.why:<13}{one.changed_at:%Y-%m-%d}  {one.path}")
    shown = delete_garbage(store, garbage) if delete else garbage
    total = sum(one.bytes for one in shown) / 1e6
    print(f"{total:>12.1f} MB in {len(shown)} versions {'deleted' if delete else '(--delete removes them)'}")
    if len(shown) < len(garbage):
        print(f"{len(garbage) - len(shown)} versions stay: they were published or taken up by a build meanwhile")
    return 0


@app.command()
def fetch(
    recipe: RecipeArgument,
    only: Annotated[list[str] | None, typer.Option(help="this snapshot; may be given several times")] = None,
) -> int:
    """Fetch a recipe's downloads; where all are there, ask every address again whether it has changed.

    A run fetches by itself what was never fetched, and takes what this brings. What failed is asked again, too. What an
    address gave before stays when it fails now.
    """
    from spelangy_assets.execution.stage import RemoteSource
    from spelangy_assets.orchestration.installation import Installation

    found, installation = _recipe(recipe), Installation(_settings())
    remote = {
        (node.name, snapshot): source
        for node in found.graph.crawls
        for snapshot in node.snapshots
        if isinstance(source := installation.source(node, snapshot), RemoteSource)
    }
    if not remote:
        raise ValueError(f"{found.name} fetches nothing: give a snapshot lab.Downloads(...)")
    names = sorted({snapshot for _, snapshot in remote})
    if unknown := [name for name in only or () if name not in names]:
        raise ValueError(f"{found.name} fetches no snapshot {unknown[0]!r}; it fetches {', '.join(names)}")
    for (name, snapshot), source in remote.items():
        if only and snapshot not in only:
            continue
        ended = source.fetch(lambda text: print(text, flush=True), again=True)
        print(f"{name}@{snapshot}: {', '.join(f'{count} {word}' for word, count in sorted(ended.items()))}")
    return 0


@app.command()
def forget(
    url: Annotated[str, typer.Argument(help="where the recording or page was published")],
    by: By,
    reason: Reason,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say which datasets hold it")] = False,
) -> int:
    """Take down what was published at a URL, for every recipe; later builds leave it out.

    Exports that hold it are named.
    """
    from spelangy_assets.store.exports import exports_with
    from spelangy_assets.store.forgotten import forget as take_down
    from spelangy_assets.store.forgotten import hashes_at, held_in
    from spelangy_model.credentials import without_credentials

    store = _store()
    held = held_in(store, url)
    if not held:  # records hold addresses without credentials
        url = without_credentials(url)
        held = held_in(store, url)
    for row in held:
        print(f"{'  ' * row['distance']}{row['id']}{'' if row['published'] else '  (not published)'}")
    print(f"{len(held)} versions hold it or were made from one that does")
    left = exports_with(store, url, hashes_at(store, url))
    for one in left:
        print(f"exported {one.at}: {one.dataset} as {one.format} to {one.place}")
    if left:
        print(f"{len(left)} exports hold it: take it out there by hand")
    if not dry_run:
        take_down(store, url, by, reason)
        if (folder := _settings().downloads).is_dir():
            from spelangy_assets.sources.download_shelf import Shelf

            Shelf(folder).forget(without_credentials(url))
        print("taken down, and published nowhere: `gc --days 0 --delete` removes it, another run builds without it")
    return 0


@app.command()
def retire(recipe: Annotated[str, typer.Argument(help="the recipe's name")]) -> int:
    """Withdraw all that a recipe has published; `gc` then removes what no other recipe uses."""
    count = _store().retire(recipe)
    if not count:
        raise ValueError(f"{recipe} has published nothing in this store")
    print(f"{count} datasets of {recipe} are published no more; `gc` says what may go now")
    return 0


@app.command()
def overrule(dataset: DatasetArgument, by: By, reason: Reason, recipe: RecipeOption = "sample") -> int:
    """Let what failed its contract be read all the same, in a person's name."""
    from spelangy_assets.store.artifacts import DatasetName

    store = _store()
    asset, partition = _split(dataset)
    name = DatasetName(_name(recipe), asset, partition)
    artifact = store.overrule(name, by, reason)
    standing = store.standing(name).published
    verdict = store.standing_verdict(name, artifact, standing.contract) if standing else None
    for failure in verdict.failures() if verdict else []:
        print(f"accepted although {failure.name}: {failure.error or failure.observed}")
    print(f"published {artifact.uri}; materialize it to see the overruled check in the UI")
    return 0


@app.command()
def checkpoint(
    folder: Annotated[Path, typer.Argument(help="a model that was made elsewhere")],
    name: Annotated[str, typer.Option(help="its name in recipes; default: the folder's")] = "",
) -> int:
    """Print what a recipe has to say to adopt a model that was made elsewhere."""
    from spelangy_assets.stages.adopt_checkpoint import offer

    name = name or folder.resolve().name
    digest = offer(folder, name, _settings().checkpoints)
    print(f'lab.Checkpoint(name="{name}", sha256="{digest}", licence="...", url="...")')
    return 0


@app.command()
def questions(
    file: Annotated[Path, typer.Argument(help="a file of questions below SPELANGY_BENCHMARKS")],
    file_format: Annotated[str, typer.Option("--format", help="webquestions, triviaqa, table, mmlu, jsonl ...")],
    name: Annotated[str, typer.Option(help="its name in metrics; default: the file's")] = "",
) -> int:
    """Print what a recipe has to say to ask a file of questions.

    Example: spelangy questions $SPELANGY_BENCHMARKS/own/own.jsonl --format jsonl
    """
    from spelangy_assets.stages.write_benchmark import QuestionSet
    from spelangy_model.eval.question_files import QuestionFileError, digest_of_questions, read_questions

    try:
        found = read_questions(file, file_format)
    except QuestionFileError as error:
        raise ValueError(str(error)) from error
    folder = _settings().benchmarks
    below = folder is not None and file.resolve().is_relative_to(folder.resolve())
    path = file.resolve().relative_to(folder.resolve()).as_posix() if folder is not None and below else file.name
    one = QuestionSet(name or file.stem.lower(), file_format, path, digest_of_questions(file, found))
    recorded = sum(question.audio is not None for question in found)
    print(f"{len(found)} questions, {recorded} with a recording")
    print(f'lab.QuestionSet("{one.name}", "{one.format}", "{one.path}", "{one.digest}")')
    return 0


@app.command(hidden=True)
def tokenizer(
    ship: Annotated[bool, typer.Option("--ship", help="put the new checkpoint into the package")] = False,
) -> int:
    """Train the shipped speech tokenizer again from its recipe."""
    from spelangy_assets.cli.ship_tokenizer import build_tokenizer

    return build_tokenizer(_settings(), ship)


# --- what commands share ------------------------------------------------------------------------------------------


def _settings() -> Settings:
    from spelangy_assets.settings import Settings

    return Settings.from_environment()


def _store() -> ArtifactStore:
    from spelangy_assets.store.artifacts import ArtifactStore

    settings = _settings()
    return ArtifactStore(settings.store_uri, settings.cache_dir)


def _recipe(reference: str) -> Recipe:
    from spelangy_assets.recipes.registry import recipe_named

    return recipe_named(reference)


def _name(reference: str) -> str:
    """Return a recipe's name in the store, which may hold what a recipe published that is no more."""
    return _recipe(reference).name if ".py" in reference else reference


def _split(dataset: str) -> tuple[str, str | None]:
    asset, _, partition = dataset.partition("@")
    return asset, partition or None


def _roots(recipe: Recipe, datasets: list[str]) -> list[Target] | None:
    """Return the datasets that a person named; None for all. A dataset of snapshots without one stands for all."""
    if not datasets:
        return None
    roots: list[Target] = []
    for text in datasets:
        name, partition = _split(text)
        one = recipe[name]
        if one.crawl is None and partition is not None:
            raise ValueError(f"{name} has no snapshots: write --only {name}")
        roots += [(name, partition)] if partition or one.crawl is None else [(name, each) for each in one.snapshots]
    return roots


def _statuses(recipe: Recipe, settings: Settings) -> list[Status]:
    from spelangy_assets.orchestration.installation import Installation
    from spelangy_assets.orchestration.partitions import statuses_of

    return statuses_of(recipe, Installation(settings))


def _show_needs(recipe: Recipe, settings: Settings, roots: list[Target] | None) -> int:
    """Print what of the datasets is missing on this machine."""
    from spelangy_assets.execution.needs import needs_lines, needs_of
    from spelangy_assets.execution.targets import required_targets
    from spelangy_assets.orchestration.installation import Installation

    names = dict.fromkeys(name for name, _ in required_targets(recipe.graph, roots))
    found = needs_of((recipe.graph[name] for name in names), Installation(settings).execution())
    if found:
        print("\n".join(needs_lines(found)))
    return 0


def _as_json(one: Status) -> dict[str, Any]:
    return {
        "dataset": one.asset,
        "snapshot": one.partition,
        "state": one.state,
        "causes": list(one.causes),
        "why": one.why,
        "build_key": one.build_key,
    }
