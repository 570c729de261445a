"""The command line: `python -m spelangy_assets COMMAND`. `make` targets call it.

Put here: arguments and printing. Do not put here: work; each command is a function of another module.
"""

from __future__ import annotations

import argparse
import errno
import sys
import warnings
from pathlib import Path

from spelangy_assets.cli.interrupts import run_until_interrupted
from spelangy_assets.settings import SettingsError

# What a person mends outside of the program: no traceback makes it clearer.
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m spelangy_assets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    demo = commands.add_parser("demo", help="materialize a whole recipe and print its leaderboard")
    demo.add_argument("--recipe", default="sample", help="sample, or tiny: the same graph in minutes")
    demo.add_argument("--lanes", type=int, default=2, help="worker processes, one thread each")

    speech = commands.add_parser("web-speech", help="raw audio to fine chunks, on a folder of your own recordings")
    speech.add_argument("folder", type=Path)
    speech.add_argument("--name", default=None, help="the snapshot's name; default: the folder's")

    export = commands.add_parser("export", help="a snapshot's turns and words as RTTM, CTM and SRT")
    export.add_argument("snapshot", help="for example 2026-01")
    export.add_argument("folder", type=Path, help="where the files go")
    export.add_argument("--recipe", default="sample")

    lineage = commands.add_parser("lineage", help="what a dataset was made from, down to URLs and content hashes")
    asked = lineage.add_mutually_exclusive_group(required=True)
    asked.add_argument("asset", nargs="?", help="for example eval_fine, or raw_audio@2026-01 for a partition")
    asked.add_argument("--url", help="instead: every training row and run that holds what was published there")
    shown = lineage.add_mutually_exclusive_group()
    shown.add_argument("--below", action="store_true", help="what was made from it")
    shown.add_argument("--cost", action="store_true", help="what it cost with all that is above it, by stage")
    shown.add_argument("--row", help="of a leaderboard: the sources of this run's score alone, for example quest")
    lineage.add_argument("--recipe", default="sample")

    status = commands.add_parser("status", help="what is out of date across the whole graph, and why")
    status.add_argument("--recipe", default="sample")
    status.add_argument("--all", action="store_true", help="what is up to date too")

    overrule = commands.add_parser("overrule", help="let what failed its contract be read all the same")
    overrule.add_argument("asset", help="for example web_fine@2026-01")
    overrule.add_argument("--by", required=True, help="who answers for it")
    overrule.add_argument("--reason", required=True)
    overrule.add_argument("--recipe", default="sample")

    forget = commands.add_parser("forget", help="take down what was published at a URL: rebuilds leave it out")
    forget.add_argument("url")
    forget.add_argument("--by", required=True, help="who answers for it")
    forget.add_argument("--reason", required=True)
    forget.add_argument("--recipe", default="sample")
    forget.add_argument("--dry-run", action="store_true", help="only say which datasets hold it")

    gc = commands.add_parser("gc", help="what nothing published was made from: a list, or with --delete its removal")
    gc.add_argument("--recipe", default=None, help="default: all recipes")
    gc.add_argument("--days", type=float, default=7.0, help="keep what changed within so many days")
    gc.add_argument("--delete", action="store_true")

    tokenizer = commands.add_parser("tokenizer", help="train the shipped speech tokenizer again from the recipe")
    tokenizer.add_argument("--ship", action="store_true", help="put the new checkpoint into the package")

    checkpoint = commands.add_parser("checkpoint", help="what a recipe has to say to adopt a model made elsewhere")
    checkpoint.add_argument("folder", type=Path)
    checkpoint.add_argument("--name", default=None, help="its name in recipes; default: the folder's")

    chosen = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", module="dagster")  # its notices on beta parameters, one a process and asset
    return run_until_interrupted(lambda: _run(chosen))


def _run(chosen: argparse.Namespace) -> int:
    try:
        return _COMMANDS[chosen.command](chosen)
    except SettingsError as error:
        print(f"{chosen.command}: {error}", file=sys.stderr)
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        print(f"{chosen.command}: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
    return 2


def _demo(chosen: argparse.Namespace) -> int:
    from spelangy_assets.cli.demo import demo
    from spelangy_assets.recipes.registry import recipe_named
    from spelangy_assets.settings import Settings

    return demo(recipe_named(chosen.recipe), Settings.from_environment(), lanes=chosen.lanes)


def _web_speech(chosen: argparse.Namespace) -> int:
    from spelangy_assets.cli.demo import web_speech
    from spelangy_assets.settings import Settings

    return web_speech(chosen.folder, chosen.name or chosen.folder.resolve().name, Settings.from_environment())


def _export(chosen: argparse.Namespace) -> int:
    from spelangy_assets.report.transcript_files import export_transcripts
    from spelangy_assets.settings import Settings
    from spelangy_assets.store.artifacts import ArtifactStore

    settings = Settings.from_environment()
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    for path in export_transcripts(store, chosen.recipe, chosen.snapshot, chosen.folder):
        print(path)
    return 0


def _lineage(chosen: argparse.Namespace) -> int:
    from spelangy_assets.settings import Settings
    from spelangy_assets.store import lineage_queries as ask
    from spelangy_assets.store.artifacts import Address, ArtifactStore
    from spelangy_assets.store.lineage import connect, published_id, query

    settings = Settings.from_environment()
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    with connect(store, chosen.recipe) as connection:
        if chosen.url:
            for row in query(connection, ask.ROWS_OF_URL_SQL, url=chosen.url):
                place = f"{row['mix']} row {row['row']}"
                print(
                    f"{place}  {row['source']}  {row['positions']} positions  in: {', '.join(row['runs']) or 'no run'}"
                )
            return 0
        asset, _, partition = chosen.asset.partition("@")
        identity = published_id(store, Address(chosen.recipe, asset, partition or None))
        if chosen.cost:
            for row in query(connection, ask.COST_SQL, artifact=identity):
                print(
                    f"{row['stage'] or 'whole':<24}{row['versions']:>5} versions{row['cpu_seconds']:>10.1f} CPU s"
                    f"{row['bytes'] / 1e6:>10.1f} MB{row['audio_hours'] or 0:>9.3f} h kept"
                )
            return 0
        if not chosen.row:
            kin = query(connection, ask.DESCENDANTS_SQL if chosen.below else ask.ANCESTORS_SQL, artifact=identity)
            for row in kin:
                print(f"{'  ' * row['distance']}{row['id']}  data {row['data_version']}  {row['records_kept']} kept")
            print()
        if not chosen.below:
            more = {"run": chosen.row} if chosen.row else {}
            for row in query(connection, ask.CELL_SQL if chosen.row else ask.SOURCES_SQL, artifact=identity, **more):
                print(f"{row['kind']:<10}{row['content_hash']}  {row['licence']:<14}{row['url']}")
            for row in [] if chosen.row else query(connection, ask.CHECKPOINTS_SQL, artifact=identity):
                print(f"{'model':<10}{row['sha256'][:32]}  {row['licence']:<14}{row['url'] or row['name']}")
    return 0


def _status(chosen: argparse.Namespace) -> int:
    from spelangy_assets.execution.status import count_states, status_of
    from spelangy_assets.orchestration.laboratory import Laboratory
    from spelangy_assets.orchestration.partitions import snapshots
    from spelangy_assets.recipes.assemble import assemble
    from spelangy_assets.recipes.registry import recipe_named
    from spelangy_assets.settings import Settings

    recipe, settings = recipe_named(chosen.recipe), Settings.from_environment()
    laboratory = Laboratory(settings)
    statuses = status_of(
        laboratory.store,
        assemble(recipe),
        snapshots(recipe, settings),
        lambda node, partition: laboratory.source(recipe, node, partition),
    )
    for status in statuses:
        if chosen.all or status.state != "fresh":
            print(f"{status.state:<9}{status.place:<36}{'+'.join(status.causes):<22}  {status.why}")
    print(", ".join(f"{count} {words}" for words, count in count_states(statuses).items()))
    return 0 if all(status.state == "fresh" for status in statuses) else 1


def _overrule(chosen: argparse.Namespace) -> int:
    from spelangy_assets.settings import Settings
    from spelangy_assets.store.artifacts import Address, ArtifactStore

    settings = Settings.from_environment()
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    asset, _, partition = chosen.asset.partition("@")
    artifact = store.overrule(Address(chosen.recipe, asset, partition or None), chosen.by, chosen.reason)
    verdict = store.verdict(artifact)
    for failure in verdict.failures() if verdict else []:
        print(f"accepted although {failure.name}: {failure.error or failure.observed}")
    print(f"published {artifact.uri}; materialize it to see the overruled check in the UI")
    return 0


def _forget(chosen: argparse.Namespace) -> int:
    from spelangy_assets.recipes.assemble import assemble
    from spelangy_assets.recipes.registry import recipe_named
    from spelangy_assets.settings import Settings
    from spelangy_assets.store.artifacts import ArtifactStore
    from spelangy_assets.store.forgotten import forget, held_in

    settings = Settings.from_environment()
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    held = held_in(store, chosen.recipe, chosen.url)
    for row in held:
        print(f"{'  ' * row['distance']}{row['id']}{'' if row['published'] else '  (not published)'}")
    print(f"{len(held)} versions hold it or were made from one that does")
    if not chosen.dry_run:
        crawls = [node.name for node in assemble(recipe_named(chosen.recipe)) if node.has_source]
        forget(store, chosen.recipe, crawls, chosen.url, chosen.by, chosen.reason)
        print("taken down: `status` says what to build again, then `gc --days 0 --delete` removes what held it")
    return 0


def _gc(chosen: argparse.Namespace) -> int:
    import datetime

    from spelangy_assets.settings import Settings
    from spelangy_assets.store.artifacts import ArtifactStore
    from spelangy_assets.store.garbage import delete, find_garbage

    settings = Settings.from_environment()
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    age = datetime.timedelta(days=chosen.days)
    garbage = find_garbage(store, age, datetime.datetime.now(datetime.UTC), chosen.recipe)
    for one in garbage:
        print(f"{one.bytes / 1e6:>12.1f} MB  {one.why:<13}{one.changed_at:%Y-%m-%d}  {one.path}")
    total = sum(one.bytes for one in garbage) / 1e6
    if chosen.delete:
        delete(store, garbage)
    print(f"{total:>12.1f} MB in {len(garbage)} versions {'deleted' if chosen.delete else '(--delete removes them)'}")
    return 0


def _tokenizer(chosen: argparse.Namespace) -> int:
    from spelangy_assets.cli.ship_tokenizer import build_tokenizer
    from spelangy_assets.settings import Settings

    return build_tokenizer(Settings.from_environment(), chosen.ship)


def _checkpoint(chosen: argparse.Namespace) -> int:
    from spelangy_assets.settings import Settings
    from spelangy_assets.stages.adopt_checkpoint import offer

    name = chosen.name or chosen.folder.resolve().name
    digest = offer(chosen.folder, name, Settings.from_environment().checkpoints)
    print(f'Checkpoint(name="{name}", sha256="{digest}", licence="...", url="...")')
    return 0


_COMMANDS = {
    "demo": _demo,
    "web-speech": _web_speech,
    "export": _export,
    "lineage": _lineage,
    "status": _status,
    "overrule": _overrule,
    "forget": _forget,
    "gc": _gc,
    "tokenizer": _tokenizer,
    "checkpoint": _checkpoint,
}
