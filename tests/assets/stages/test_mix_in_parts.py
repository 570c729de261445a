"""A mix in parts: its rows, its report, what a killed one makes again, and what cannot be parted."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.stages import mix
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.data.interleave import Interleaving
from spelangy_model.data.mixture import Choose, Mixture, Proportion, Source
from spelangy_model.records import PackedRow, TokenChunk, TokenDocument
from spelangy_model.rng import stable_rng

ANY = Contract("any", "SELECT 1 AS fine", (Bound("fine", 1),))
SHARDS, DOCUMENTS = 5, 60
MIXTURE = Mixture(
    sources=(
        Source("speech.0", "speech_text", Proportion(0.3)),
        Source("speech.1", "speech_text", Proportion(0.7)),
        Source("text.0", "text", Proportion(1.0)),
    ),
    rows=97,
    row_length=128,
    text_share=0.4,
    interleaving=Interleaving("stochastic", loss_on_speech=False),
    max_epochs=9,
    seed=0,
)


def writer_of_tokens(dataset: str) -> Any:
    """Return a stage that writes five shards of documents, called DATASET/shard/number."""

    def write_tokens(ctx: StageContext, config: Any) -> None:
        for unit, _ in ctx.out.pending(range(SHARDS)):
            with ctx.out.unit(unit) as out:
                for number in range(DOCUMENTS):
                    name = f"{dataset}/{unit}/{number}"
                    length = int(stable_rng(0, name).integers(4, 20))
                    codes = [1] * length if dataset.endswith("speech") else []
                    chunk = TokenChunk("speech", codes, [2] * length)
                    out.write("documents", [TokenDocument(name, name, "", "", [chunk])])
                out.kept(DOCUMENTS)

    return write_tokens


@pytest.fixture
def make(store: ArtifactStore, execution: Execution, toys: Any) -> Any:
    """Return a function that makes the mix of a config over token sets of five shards."""

    def write_file(name: str, data: bytes) -> Any:
        def run(ctx: StageContext, config: Any) -> None:
            for unit, _ in ctx.out.pending([0]):
                with ctx.out.unit(unit) as out:
                    out.write_file(name, data)

        return toys.make_stage(run, {}, config=toys.NoConfig)

    def node(name: str, **changes: Any) -> Any:
        return toys.node(name, **{"config": toys.NoConfig(), "contract": ANY, **changes})

    text = json.dumps({"model": {"vocab": {str(i): i for i in range(20)}}, "added_tokens": []}).encode()
    codec = b'{"model_type": "spelangy_speech_tokenizer", "fsq_levels": [8]}'
    tokenizers = {"text_tokenizer": "text_tokenizer", "speech_tokenizer": "speech_tokenizer"}
    sets = {"speech.0": "web_speech", "speech.1": "quest_speech", "text.0": "text"}
    nodes = [
        node("text_tokenizer", stage=write_file("tokenizer.json", text)),
        node("speech_tokenizer", stage=write_file("config.json", codec)),
        *(
            node(name, stage=toys.make_stage(writer_of_tokens(name), {"documents": TokenDocument}))
            for name in sets.values()
        ),
        *(toys.roll_up(f"{name}_corpus", (name, None)) for name in sets.values()),
    ]
    for one in nodes:
        build(store, Graph("recipe", nodes), one, None, execution)

    def made(config: mix.Config, force: bool = False) -> Built:
        inputs = {**tokenizers, **{role: f"{name}_corpus" for role, name in sets.items()}}
        last = node("mix", stage=mix, config=config, inputs=inputs)
        return build(store, Graph("recipe", [*nodes, last]), last, None, execution, force=force)

    return made


def rows_of(built: Built) -> list[PackedRow]:
    return list(built.artifact.records("rows", PackedRow))


def test_each_part_has_its_share_of_the_rows_from_its_own_shards(make: Any) -> None:
    rows = rows_of(make(mix.Config(MIXTURE, rows_per_shard=12, parts=2)))
    assert [row.row for row in rows] == list(range(97))
    shards = [{int(span.document_id.split("/")[1]) for span in row.spans} for row in rows]
    assert set().union(*shards[:48]) == {0, 2, 4}
    assert set().union(*shards[48:]) == {1, 3}
    for part in (rows[:48], rows[48:]):
        tokens = Counter[str]()
        for span in (span for row in part for span in row.spans):
            tokens[span.source] += span.length
        assert tokens["text.0"] / tokens.total() == pytest.approx(0.4, abs=0.03)
        assert tokens["speech.1"] / (tokens["speech.0"] + tokens["speech.1"]) == pytest.approx(0.7, abs=0.02)


def test_the_report_is_of_the_whole_mix(make: Any) -> None:
    built = make(mix.Config(MIXTURE, rows_per_shard=12, parts=3))
    rows, stats = rows_of(built), built.artifact.manifest.counts.stats
    report = json.loads(built.artifact.read_file("mixture.json"))
    tokens, drawn = Counter[str](), dict[str, set[tuple[str, int]]]()
    for span in (span for row in rows for span in row.spans):
        tokens[span.source] += span.length
        drawn.setdefault(span.source, set()).add((span.document_id, span.epoch))
    assert stats["positions"] == 97 * 128
    assert stats["filled_positions"] == tokens.total()
    assert report["rows"] == Counter(row.kind for row in rows)
    assert report["fill"] == pytest.approx(tokens.total() / (97 * 128))
    assert report["text_share"] == pytest.approx(tokens["text.0"] / tokens.total())
    spoken = tokens["speech.0"] + tokens["speech.1"]
    shares = {"speech.0": (tokens["speech.0"] / spoken, 0.3), "speech.1": (tokens["speech.1"] / spoken, 0.7)}
    assert len(report["sources"]) == 3
    for source in report["sources"]:
        assert source["tokens"] == tokens[source["name"]] == stats[f"{source['name']}.tokens"]
        assert source["documents"] == SHARDS * DOCUMENTS
        assert source["documents_drawn"] == len(drawn[source["name"]])
        assert source["epochs"] == pytest.approx(len(drawn[source["name"]]) / (SHARDS * DOCUMENTS))
        assert (source["share"], source["wanted_share"]) == pytest.approx(shares.get(source["name"], (1, 1)))
    assert built.artifact.manifest.counts.records_kept == sum(map(len, drawn.values()))


def test_a_killed_one_makes_the_rest_and_gives_the_same_bytes(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = mix.Config(MIXTURE, rows_per_shard=12, parts=3)
    whole = make(config)
    real, units = mix.rows_of_plan, list[int]()

    def rows_until_killed(*arguments: Any) -> Any:
        units.append(arguments[6] + arguments[3])
        if len(units) == 5:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(mix, "rows_of_plan", rows_until_killed)
    with pytest.raises(KeyboardInterrupt):
        make(config, force=True)
    assert make(config, force=True).artifact.data_version == whole.artifact.data_version
    assert units == [0, 12, 24, 32, 44, 44, 56, 64, 76, 88]  # parts of 32, 32 and 33 rows


def test_the_disk_holds_the_drawn_sequences_of_one_part_at_a_time(
    make: Any, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, found = mix.rows_of_plan, list[set[int]]()

    def counted(*arguments: Any) -> Any:
        names = {path.stem for path in Path(store.files.local("")).rglob("drawn-000-*.arrow")}
        found.append({int(name.split("-")[-1]) for name in names})
        return real(*arguments)

    monkeypatch.setattr(mix, "rows_of_plan", counted)
    make(mix.Config(MIXTURE, parts=3))
    assert found == [{0, 3}, {1, 4}, {2}]


def test_one_part_is_the_mix_without_parts_and_other_numbers_are_other_mixes(make: Any) -> None:
    versions = [make(mix.Config(MIXTURE, parts=parts)).artifact.data_version for parts in (1, 2, 3)]
    assert make(mix.Config(MIXTURE)).artifact.data_version == versions[0]
    assert len(set(versions)) == 3


def test_a_number_of_documents_is_divided_among_the_parts(make: Any) -> None:
    sources = (replace(MIXTURE.sources[0], amount=Choose(31)), *MIXTURE.sources[1:])
    sources = (sources[0], replace(sources[1], amount=Proportion(1.0)), sources[2])
    rows = rows_of(make(mix.Config(replace(MIXTURE, sources=sources), parts=2)))
    chosen = {span.document_id for row in rows for span in row.spans if span.source == "speech.0"}
    assert Counter(int(one.split("/")[1]) % 2 for one in chosen) == {0: 15, 1: 16}


def test_what_cannot_be_parted_is_refused_with_the_reason(make: Any) -> None:
    with pytest.raises(InputError, match=r"source speech\.0 has 5 shards of documents, too few for 6 parts"):
        make(mix.Config(MIXTURE, parts=6))
    for parts in (0, 98):
        with pytest.raises(PreflightError, match=f"parts is {parts}, for 97 rows"):
            make(mix.Config(MIXTURE, parts=parts))
    with pytest.raises(InputError, match="cannot be made: part 1 of 5: source"):
        make(mix.Config(replace(MIXTURE, rows=4000, max_epochs=1), parts=5))
    with pytest.raises(InputError, match="cannot be made: part 1 of 4: 0 text rows are wanted"):
        make(mix.Config(replace(MIXTURE, rows=4), parts=4))
