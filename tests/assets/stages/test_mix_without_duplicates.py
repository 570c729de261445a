"""What the index of duplicates names, what holds words of a benchmark, and what a licence refuses, is in no mix."""

import json
from typing import Any

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.stages import mix
from spelangy_assets.stages.find_contaminated import ContaminatedDocument
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.data.interleave import Interleaving
from spelangy_model.data.mixture import Mixture, Proportion, Source
from spelangy_model.records import Duplicate, PackedRow, TokenChunk, TokenDocument

ANY = Contract("any", "SELECT 1 AS fine", (Bound("fine", 1),))

CODEC = b'{"model_type": "spelangy_speech_tokenizer", "fsq_levels": [8]}'
MIXTURE = Mixture(
    sources=(
        Source("speech.0", "speech_text", Proportion(0.5)),
        Source("speech.1", "speech_text", Proportion(0.5), licences=("cc-by-[0-9]*", "CC0-*")),
    ),
    rows=4,
    row_length=64,
    text_share=0.0,
    interleaving=Interleaving("deterministic", loss_on_speech=False),
    max_epochs=50,
    seed=0,
)


def test_duplicates_are_left_out_by_snapshot_and_counted(store: ArtifactStore, execution: Execution, toys: Any):
    def write_tokens(ctx: StageContext, config: Any) -> None:
        for unit, _ in ctx.out.pending([0]):
            with ctx.out.unit(unit) as out:
                out.read(6)
                chunks = [TokenChunk("speech", [1, 2, 3], [4, 5]), TokenChunk("speech", [6, 7], [8])]
                for recording, licence in (("a", "CC-BY-4.0"), ("b", "CC0-1.0"), ("c", "CC-BY-NC-4.0")):
                    for part in range(2):
                        name = f"{ctx.partition}/{recording}/{part}"
                        out.write("documents", [TokenDocument(name, recording, "", licence, chunks)])

    def write_files(files: dict[str, bytes]) -> Any:
        def run(ctx: StageContext, config: Any) -> None:
            for unit, _ in ctx.out.pending([0]):
                with ctx.out.unit(unit) as out:
                    out.kept(1)
                    for name, data in files.items():
                        out.write_file(name, data)

        return toys.make_stage(run, {}, config=toys.NoConfig)

    def write_index(ctx: StageContext, config: Any) -> None:
        for unit, _ in ctx.out.pending([0]):
            with ctx.out.unit(unit) as out:
                out.write("duplicates", [Duplicate("b", "tue", "a", "mon", "near_duplicate", 0.9)])

    def write_contaminated(*named: str) -> Any:
        def run(ctx: StageContext, config: Any) -> None:
            for unit, _ in ctx.out.pending([0]):
                with ctx.out.unit(unit) as out:
                    rows = [ContaminatedDocument(one, "q", 9, "nine words") for one in named]
                    out.write("contaminated", rows)

        return toys.make_stage(run, {"contaminated": ContaminatedDocument})

    def node(name: str, **changes: Any) -> Any:
        return toys.node(name, **{"config": toys.NoConfig(), "contract": ANY, **changes})

    text = json.dumps({"model": {"vocab": {str(i): i for i in range(20)}}, "added_tokens": []}).encode()
    documents = {"documents": TokenDocument}
    nodes = [
        node("text_tokenizer", stage=write_files({"tokenizer.json": text})),
        node(
            "speech_tokenizer",
            stage=write_files({"config.json": CODEC}),
        ),
        node("web_fine_tokens", stage=toys.make_stage(write_tokens, documents), partition="raw_audio"),
        toys.roll_up("web_fine_corpus", ("web_fine_tokens", "mon"), ("web_fine_tokens", "tue")),
        node("coarse_tokens", stage=toys.make_stage(write_tokens, documents), partition="raw_audio"),
        toys.roll_up("coarse_corpus", ("coarse_tokens", "mon")),
        node("audio_duplicates", stage=toys.make_stage(write_index, {"duplicates": Duplicate})),
        node("fine_contaminated", stage=write_contaminated("mon/c/1", "tue/b/0")),
        node("coarse_contaminated", stage=write_contaminated("mon/a/0")),
        node(
            "mix_fine",
            stage=mix,
            config=mix.Config(MIXTURE),
            inputs={
                "text_tokenizer": "text_tokenizer",
                "speech_tokenizer": "speech_tokenizer",
                "duplicates.0": "audio_duplicates",
                "contaminated.speech.0": "fine_contaminated",
                "contaminated.speech.1": "coarse_contaminated",
                "speech.0": "web_fine_corpus",
                "speech.1": "coarse_corpus",
            },
        ),
    ]
    graph = Graph("recipe", nodes)
    for one in nodes:
        for partition in ("mon", "tue") if one.partition else (None,):
            built = build(store, graph, one, partition, execution)
            assert built.verdict.passed
    spans = [span for row in built.artifact.records("rows", PackedRow) for span in row.spans]
    mon, tue = ({f"{day}/{one}/{part}" for one in "abc" for part in range(2)} for day in ("mon", "tue"))
    repeated = {"tue/b/0", "tue/b/1"}
    # A document is named by its token set and its id: the other set holds others of the same names.
    assert {span.document_id for span in spans if span.source == "speech.0"} == (mon | tue) - repeated - {"mon/c/1"}
    assert {span.document_id for span in spans if span.source == "speech.1"} == mon - {"mon/a/0", "mon/c/0", "mon/c/1"}
    counts = built.artifact.manifest.counts
    assert counts.dropped["near_duplicate"] == 2  # tue/b/0 is both, and counts once
    assert counts.dropped["contaminated"] == 2
    assert counts.dropped["licence_refused"] == 2
    assert counts.records_in == counts.records_kept + sum(counts.dropped.values())


def test_where_the_kept_one_lies_outside_a_source_its_first_duplicate_stands_in():
    index = [
        Duplicate("b", "tue", "a", "mon", "near_duplicate", 0.9),
        Duplicate("c", "wed", "a", "mon", "near_duplicate", 0.9),
        Duplicate("e", "wed", "d", "tue", "near_duplicate", 0.9),
    ]
    assert mix.repeated_sources({"mon", "tue", "wed"}, index) == {"tue": {"b"}, "wed": {"c", "e"}}
    assert mix.repeated_sources({"tue", "wed"}, index) == {"wed": {"c", "e"}}
    assert mix.repeated_sources({"wed"}, index) == {}
