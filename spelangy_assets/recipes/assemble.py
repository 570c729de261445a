"""A recipe becomes a graph: the one list of all assets, in the order in which data flows.

Put here: names, groups, descriptions, inputs. Do not put here: literals of a recipe, or Dagster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from spelangy_assets.execution.graph import Graph, GraphError, Node, PartitionKind
from spelangy_assets.quality import contracts
from spelangy_assets.recipes.recipe import Recipe
from spelangy_assets.stages import (
    account_speech,
    adopt_checkpoint,
    adopt_chunks,
    chunk_speech,
    clean_transcripts,
    cover_topics,
    evaluate,
    extract_text,
    find_contaminated,
    find_contamination,
    find_duplicate_pages,
    find_duplicate_recordings,
    ingest_audio,
    ingest_pages,
    leaderboard,
    mine_quest,
    mix,
    recognize,
    roll_up,
    round_trip,
    score_system,
    segment_speech,
    speak,
    speech_tokenizer,
    text_skill,
    text_tokenizer,
    tokenize_chunks,
    tokenize_text,
    tokenizer_corpus,
    train_lm,
    write_benchmark,
    write_chunk_page,
    write_krist,
    write_synthetic_page,
)

AUDIO: PartitionKind = "audio_snapshot"
PAGES: PartitionKind = "page_snapshot"

WEB = ("web_coarse", "web_fine")
ADOPTED = "adopted"

# Token set -> the dataset that it tokenizes, and how that is partitioned. A recipe has those that its corpora name.
TOKEN_SETS: dict[str, tuple[str, PartitionKind]] = {
    "web_coarse": ("web_coarse", AUDIO),
    "web_fine": ("web_fine", AUDIO),
    ADOPTED: ("adopted_chunks", AUDIO),
    "krist": ("krist_speech", PAGES),
    "quest": ("quest_speech", PAGES),
    "text": ("text_documents", PAGES),
}


def assemble(recipe: Recipe) -> Graph:
    """Return the graph of a recipe. GraphError names a mix, run or corpus that does not fit."""
    nodes = [
        *_crawl(recipe),
        *_web_speech(recipe),
        *_adopted_speech(recipe),
        *_synthetic(recipe),
        *_tokenizers(recipe),
        *_tokens(recipe),
        *_corpora(recipe),
        *_benchmarks(recipe),
        *_mixes(recipe),
        *_runs(recipe),
        *_evaluation(recipe),
    ]
    for name in recipe.adopted_checkpoints:
        is_new_run = name.startswith("run_") and name.removeprefix("run_") not in recipe.runs
        if name not in _PLACES and not is_new_run:
            raise GraphError(
                f"{recipe.name}: a checkpoint cannot be adopted as {name!r}: take {', '.join(_PLACES)}, or run_NAME "
                "with a name that no run of the recipe has"
            )
    return Graph(recipe.name, [_in_place(recipe, node) for node in nodes])


# Where a checkpoint may stand in the place of what the recipe would make, and what it then holds.
_PLACES: dict[str, adopt_checkpoint.Holds] = {
    "text_tokenizer": "text_tokenizer",
    "speech_tokenizer": "speech_tokenizer",
    "base_lm": "language_model",
}


def _in_place(recipe: Recipe, node: Node) -> Node:
    """Return a node as it is, or with what the recipe adopts in its place; what is below does not see a change."""
    if node.name not in _PLACES or node.name not in recipe.adopted_checkpoints:
        return node
    return replace(node, **_adopted(_PLACES[node.name], recipe.adopted_checkpoints[node.name]))


def _adopted(holds: adopt_checkpoint.Holds, checkpoint: adopt_checkpoint.Checkpoint) -> dict[str, Any]:
    contract, inputs = {
        "text_tokenizer": (contracts.FILES, []),
        "speech_tokenizer": (contracts.SPEECH_TOKENIZER, ["tokenizer_speech"]),
        "language_model": (contracts.ADOPTED_LANGUAGE_MODEL, ["text_tokenizer"]),
    }[holds]
    return {
        "description": f"{checkpoint.name}, which was made elsewhere.",
        "stage": adopt_checkpoint,
        "config": adopt_checkpoint.Config(holds, checkpoint),
        "contract": contract,
        "inputs": {name: name for name in inputs},
    }


def _run_names(recipe: Recipe) -> list[str]:
    """Return the SpeechLMs that are judged: those that are trained, then those that are adopted."""
    adopted = [name for name in recipe.adopted_checkpoints if name.startswith("run_")]
    return [*recipe.runs, *(name.removeprefix("run_") for name in adopted)]


def _crawl(recipe: Recipe) -> Iterator[Node]:
    yield Node(
        name="raw_audio",
        group="crawl",
        description="Recordings of one snapshot, decoded to mono 16 kHz; what cannot be decoded is in its rejects.",
        stage=ingest_audio,
        config=recipe.web_speech.ingest,
        contract=contracts.RAW_AUDIO,
        partition=AUDIO,
        has_source=True,
        kinds=("audio",),
    )
    yield Node(
        name="audio_corpus",
        group="crawl",
        description="Exactly the versions of raw_audio over the corpora that are made from recordings.",
        stage=roll_up,
        config=roll_up.Config(),
        contract=contracts.ROLL_UP,
        members=tuple(("raw_audio", snapshot) for snapshot in _audio_snapshots(recipe)),
        kinds=("table",),
    )
    yield Node(
        name="audio_index",
        group="crawl",
        description="Recordings whose sound came before, in the same snapshot or another; mixes leave them out.",
        stage=find_duplicate_recordings,
        config=recipe.web_speech.duplicates,
        contract=contracts.DUPLICATES,
        inputs={"recordings": "audio_corpus"},
        kinds=("table",),
        pool="duckdb",
    )
    yield Node(
        name="raw_pages",
        group="crawl",
        description="HTML pages of one snapshot's archives that the URL filter lets through.",
        stage=ingest_pages,
        config=recipe.synthetic.ingest,
        contract=contracts.RAW_PAGES,
        partition=PAGES,
        has_source=True,
        kinds=("html",),
    )
    yield Node(
        name="page_corpus",
        group="crawl",
        description="Exactly the versions of raw_pages over the corpora that are made from pages.",
        stage=roll_up,
        config=roll_up.Config(),
        contract=contracts.ROLL_UP,
        members=tuple(("raw_pages", snapshot) for snapshot in _page_snapshots(recipe)),
        kinds=("table",),
    )
    yield Node(
        name="page_index",
        group="crawl",
        description="Pages that say nearly what one before says, in any snapshot; mixes leave them out.",
        stage=find_duplicate_pages,
        config=recipe.synthetic.duplicates,
        contract=contracts.DUPLICATES,
        inputs={"pages": "page_corpus"},
        kinds=("table",),
    )


def _page_snapshots(recipe: Recipe) -> tuple[str, ...]:
    """Return the snapshots that any token set made from pages draws on, in the order of the recipe."""
    names = [name for name, (_, partition) in TOKEN_SETS.items() if partition == PAGES and name in recipe.corpora]
    wanted = {snapshot for name in names for snapshot in recipe.corpora[name].snapshots}
    return tuple(snapshot for snapshot in recipe.page_snapshots if snapshot in wanted)


def _audio_snapshots(recipe: Recipe) -> tuple[str, ...]:
    """Return the snapshots of web speech, the same for both chunkings, which are compared on the same recordings; then
    those of adopted speech."""
    coarse, fine, adopted = (
        recipe.corpora[name].snapshots if name in recipe.corpora else () for name in (*WEB, ADOPTED)
    )
    for snapshot in {*coarse, *fine, *adopted}:
        if snapshot not in recipe.audio_snapshots:
            raise GraphError(
                f"{recipe.name}: a corpus of speech names the snapshot {snapshot!r}, which is none of "
                f"{list(recipe.audio_snapshots)}"
            )
    if coarse != fine:
        raise GraphError(
            f"{recipe.name}: corpora web_coarse and web_fine name other snapshots, {coarse} and {fine}; name the same"
        )
    return tuple(dict.fromkeys((*fine, *adopted)))


def _token_sets(recipe: Recipe) -> dict[str, tuple[str, PartitionKind]]:
    """Return those of TOKEN_SETS that the recipe's corpora name. GraphError for a corpus that nothing makes."""
    for name in recipe.corpora:
        if name not in TOKEN_SETS:
            raise GraphError(f"{recipe.name}: the corpus {name!r} is none of {list(TOKEN_SETS)}")
    if (ADOPTED in recipe.corpora) != (recipe.adopted_speech is not None):
        raise GraphError(
            f"{recipe.name}: adopted_speech says what is kept of chunks made elsewhere, the corpus {ADOPTED!r} in "
            "which snapshots they are: give both or none"
        )
    return {name: TOKEN_SETS[name] for name in TOKEN_SETS if name in recipe.corpora}


def _web_speech(recipe: Recipe) -> Iterator[Node]:
    web = recipe.web_speech
    yield Node(
        name="speech_segments",
        group="transcripts",
        description="Who speaks when: diarized speaker turns of each recording.",
        stage=segment_speech,
        config=web.segment,
        contract=contracts.SPEECH_SEGMENTS,
        inputs={"raw_audio": "raw_audio"},
        partition=AUDIO,
        kinds=("table",),
        pool="gpu",
        cost="heavy",
    )
    yield Node(
        name="transcript_hypotheses",
        group="transcripts",
        description="What each ASR system heard in each segment, word by word with times and confidence.",
        stage=recognize,
        config=web.recognize,
        contract=contracts.TRANSCRIPT_HYPOTHESES,
        inputs={"raw_audio": "raw_audio", "speech_segments": "speech_segments"},
        partition=AUDIO,
        kinds=("table",),
        pool="asr",
        cost="heavy",
    )
    yield Node(
        name="clean_transcripts",
        group="transcripts",
        description="The words that ROVER's vote agreed on, after the filters; what they drop is kept with its reason.",
        stage=clean_transcripts,
        config=web.clean,
        contract=contracts.CLEAN_TRANSCRIPTS,
        inputs={"speech_segments": "speech_segments", "transcript_hypotheses": "transcript_hypotheses"},
        partition=AUDIO,
        kinds=("table",),
    )
    for name, config, how in (
        ("web_coarse", web.coarse, "consecutive turns of one speaker merged"),
        ("web_fine", web.fine, "turns cut further at sentence ends"),
    ):
        yield Node(
            name=name,
            group="chunks",
            description=f"(audio, text) chunks of web speech: {how}.",
            stage=chunk_speech,
            config=config,
            contract=contracts.CHUNKS,
            inputs={"raw_audio": "raw_audio", "clean_transcripts": "clean_transcripts"},
            partition=AUDIO,
            kinds=("audio", "table"),
        )
    yield Node(
        name="speech_ledger",
        group="chunks",
        description="Hours in, kept and dropped by reason, source by source and step by step; lengths of the chunks.",
        stage=account_speech,
        config=web.ledger,
        contract=contracts.SPEECH_LEDGER,
        inputs={
            "raw_audio": "raw_audio",
            "speech_segments": "speech_segments",
            "clean_transcripts": "clean_transcripts",
            "web_coarse": "web_coarse",
            "web_fine": "web_fine",
        },
        partition=AUDIO,
        kinds=("table",),
    )
    yield Node(
        name="chunk_page",
        group="chunks",
        description="A page to look at and listen to: turns, chunks, votes and drops of each recording.",
        stage=write_chunk_page,
        config=web.page,
        contract=contracts.PAGE,
        inputs={
            "raw_audio": "raw_audio",
            "speech_segments": "speech_segments",
            "transcript_hypotheses": "transcript_hypotheses",
            "clean_transcripts": "clean_transcripts",
            "web_coarse": "web_coarse",
            "web_fine": "web_fine",
            "speech_ledger": "speech_ledger",
        },
        partition=AUDIO,
        kinds=("html",),
    )


def _adopted_speech(recipe: Recipe) -> Iterator[Node]:
    if recipe.adopted_speech is not None:
        yield Node(
            name="adopted_chunks",
            group="chunks",
            description="Chunks that another pipeline made, by its manifests; each is checked and none is cut anew.",
            stage=adopt_chunks,
            config=recipe.adopted_speech,
            contract=contracts.ADOPTED_CHUNKS,
            inputs={"raw_audio": "raw_audio"},
            partition=AUDIO,
            kinds=("audio", "table"),
        )


def _synthetic(recipe: Recipe) -> Iterator[Node]:
    synthetic = recipe.synthetic
    yield Node(
        name="text_documents",
        group="synthetic",
        description="The main text of the pages, for text-only training.",
        stage=extract_text,
        config=synthetic.text,
        contract=contracts.TEXT_DOCUMENTS,
        inputs={"raw_pages": "raw_pages"},
        partition=PAGES,
        kinds=("table",),
    )
    for name, description, stage, config, contract in (
        (
            "krist_documents",
            "Krist: knowledge-rich pages rewritten for listening.",
            write_krist,
            synthetic.krist,
            contracts.KRIST,
        ),
        (
            "quest_pairs",
            "Quest: questions mined from pages, with rationale and answer.",
            mine_quest,
            synthetic.quest,
            contracts.SCRIPTS,
        ),
    ):
        yield Node(
            name=name,
            group="synthetic",
            description=description,
            stage=stage,
            config=config,
            contract=contract,
            inputs={"raw_pages": "raw_pages"},
            partition=PAGES,
            kinds=("table",),
            pool="llm",
        )
    for name, scripts, config in (
        ("krist_speech", "krist_documents", synthetic.krist_speech),
        ("quest_speech", "quest_pairs", synthetic.quest_speech),
    ):
        yield Node(
            name=name,
            group="synthetic",
            description=f"{scripts}, spoken in the recipe's accents.",
            stage=speak,
            config=config,
            contract=contracts.CHUNKS,
            inputs={"scripts": scripts},
            partition=PAGES,
            kinds=("audio", "table"),
            pool="tts",
            cost="heavy",
        )

    for name in ("krist", "quest"):
        yield Node(
            name=f"{name}_round_trip",
            group="synthetic",
            description=f"What a recognizer understands of {name}_speech: the word error rates of its voices.",
            stage=round_trip,
            config=synthetic.round_trip,
            contract=contracts.round_trip(synthetic.round_trip.max_word_error_rate),
            inputs={"chunks": f"{name}_speech"},
            partition=PAGES,
            kinds=("table",),
            pool="asr",
            cost="heavy",
        )

    yield Node(
        name="synthetic_page",
        group="synthetic",
        description="A page to read and hear Krist and Quest beside their pages; what each gave, in hours and words.",
        stage=write_synthetic_page,
        config=synthetic.page,
        contract=contracts.SYNTHETIC_PAGE,
        inputs={
            name: name
            for name in (
                "raw_pages",
                "text_documents",
                "krist_documents",
                "krist_speech",
                "krist_round_trip",
                "quest_pairs",
                "quest_speech",
                "quest_round_trip",
            )
        },
        partition=PAGES,
        kinds=("html",),
    )


def _tokenizers(recipe: Recipe) -> Iterator[Node]:
    tokenizers = recipe.tokenizers
    yield Node(
        name="tokenizer_speech",
        group="tokenizers",
        description="Speech that the tokenizer is trained on and measured with; fixed by the recipe.",
        stage=tokenizer_corpus,
        config=tokenizers.corpus,
        contract=contracts.CHUNKS,
        kinds=("audio", "table"),
        pool="tts",
        cost="heavy",
    )
    yield Node(
        name="speech_tokenizer",
        group="tokenizers",
        description="Conformer encoder and finite scalar quantizer at 12.5 Hz, frozen.",
        stage=speech_tokenizer,
        config=tokenizers.speech,
        contract=contracts.SPEECH_TOKENIZER,
        inputs={"tokenizer_speech": "tokenizer_speech"},
        kinds=("pytorch",),
        pool="gpu",
        cost="heavy",
    )
    yield Node(
        name="text_tokenizer",
        group="tokenizers",
        description="Byte-level BPE; fixed by the recipe.",
        stage=text_tokenizer,
        config=tokenizers.text,
        contract=contracts.FILES,
        kinds=("huggingface",),
        cost="heavy",
    )


def _tokens(recipe: Recipe) -> Iterator[Node]:
    for name, (dataset, partition) in _token_sets(recipe).items():
        text_only = name == "text"
        inputs = {"text_tokenizer": "text_tokenizer"}
        if text_only:
            inputs["text_documents"] = dataset
        else:
            inputs |= {"chunks": dataset, "speech_tokenizer": "speech_tokenizer"}
            if dataset.endswith("_speech"):
                inputs["round_trip"] = f"{name}_round_trip"
        yield Node(
            name=f"{name}_tokens",
            group="tokens",
            description=f"{dataset} as ids of the text tokenizer"
            + ("." if text_only else " and codes of the speech one."),
            stage=tokenize_text if text_only else tokenize_chunks,
            config=(
                tokenize_text.Config(source=f"{name}_tokens", max_chunk_tokens=recipe.tokenizers.max_chunk_tokens)
                if text_only
                else tokenize_chunks.Config(source=f"{name}_tokens")
            ),
            contract=contracts.TOKENS if text_only else contracts.SPEECH_TOKENS,
            inputs=inputs,
            partition=partition,
            kinds=("table",),
            pool=None if text_only else "gpu",
        )


def _corpora(recipe: Recipe) -> Iterator[Node]:
    for name, (_, partition) in _token_sets(recipe).items():
        known = recipe.audio_snapshots if partition == AUDIO else recipe.page_snapshots
        for snapshot in recipe.corpora[name].snapshots:
            if snapshot not in known:
                raise GraphError(
                    f"{recipe.name}: corpus {name!r} names the snapshot {snapshot!r}, which is none of {list(known)}"
                )
        yield Node(
            name=f"{name}_corpus",
            group="corpora",
            description=f"Exactly the versions of {name}_tokens over the recipe's corpus.",
            stage=roll_up,
            config=roll_up.Config(),
            contract=contracts.ROLL_UP,
            members=tuple((f"{name}_tokens", snapshot) for snapshot in recipe.corpora[name].snapshots),
            kinds=("table",),
        )


def _benchmarks(recipe: Recipe) -> Iterator[Node]:
    """Yield the questions, and where the recipe decontaminates the documents that hold them, before any mix."""
    yield Node(
        name="sqa_benchmarks",
        group="evals",
        description="Spoken questions with four options each, never used in training.",
        stage=write_benchmark,
        config=recipe.evaluation.benchmark,
        contract=contracts.QUESTIONS,
        kinds=("audio", "table"),
        pool="tts",
        cost="heavy",
    )
    if recipe.decontaminate is not None:
        yield Node(
            name="contaminated_documents",
            group="corpora",
            description="Training documents that hold words of a benchmark question; mixes leave them out.",
            stage=find_contaminated,
            config=recipe.decontaminate,
            contract=contracts.CONTAMINATED,
            inputs={
                **{f"{name}_tokens": f"{name}_corpus" for name in _token_sets(recipe)},
                "questions": "sqa_benchmarks",
                "text_tokenizer": "text_tokenizer",
            },
            kinds=("table",),
        )


def _mix(recipe: Recipe, name: str, config: mix.Config) -> Node:
    inputs = {"text_tokenizer": "text_tokenizer"}
    if any(source.kind == "speech_text" for source in config.mixture.sources):
        inputs["speech_tokenizer"] = "speech_tokenizer"
    token_sets = _token_sets(recipe)
    for source in config.mixture.sources:
        token_set = source.name.removesuffix("_tokens")
        if token_set not in token_sets:
            raise GraphError(
                f"{recipe.name}: mix {name!r} draws on {source.name!r}, but corpora names the snapshots of "
                f"{list(token_sets)} alone"
            )
        inputs[source.name] = f"{token_set}_corpus"
        index = "audio_index" if token_sets[token_set][1] == AUDIO else "page_index"
        inputs[index] = index
    if recipe.decontaminate is not None:
        inputs["contaminated_documents"] = "contaminated_documents"
    return Node(
        name=f"mix_{name}",
        group="mixes",
        description="Packed training rows drawn from: "
        + ", ".join(source.name for source in config.mixture.sources)
        + ".",
        stage=mix,
        config=config,
        contract=contracts.MIX,
        inputs=inputs,
        kinds=("table",),
    )


def _mixes(recipe: Recipe) -> Iterator[Node]:
    if "base_lm" not in recipe.adopted_checkpoints:
        yield _mix(recipe, "base_text", recipe.base_mix)
    for name, config in recipe.mixes.items():
        yield _mix(recipe, name, config)


def _runs(recipe: Recipe) -> Iterator[Node]:
    yield Node(
        name="base_lm",
        group="runs",
        description="The text language model that every run starts from.",
        stage=train_lm,
        config=recipe.base_lm,
        contract=contracts.RUN,
        inputs={"mix": "mix_base_text", "text_tokenizer": "text_tokenizer"},
        kinds=("pytorch",),
        pool="gpu",
        cost="heavy",
    )
    for name, run in recipe.runs.items():
        if run.mix not in recipe.mixes:
            raise GraphError(
                f"{recipe.name}: run {name!r} trains on {run.mix!r}, which is none of {list(recipe.mixes)}"
            )
        yield Node(
            name=f"run_{name}",
            group="runs",
            description=f"A SpeechLM: base_lm trained on mix_{run.mix}.",
            stage=train_lm,
            config=run.train,
            contract=contracts.RUN,
            inputs={"mix": f"mix_{run.mix}", "base_lm": "base_lm", "text_tokenizer": "text_tokenizer"},
            kinds=("pytorch",),
            pool="gpu",
            cost="heavy",
        )
    for name, checkpoint in recipe.adopted_checkpoints.items():
        if name.startswith("run_"):
            yield Node(
                name=name,
                group="runs",
                kinds=("pytorch",),
                pool="gpu",
                cost="heavy",
                **_adopted("language_model", checkpoint),
            )


def _evaluation(recipe: Recipe) -> Iterator[Node]:
    evaluation = recipe.evaluation
    for name in _run_names(recipe):
        yield Node(
            name=f"eval_{name}",
            group="evals",
            description=f"Spoken and text question answering and the modality gap of run_{name}.",
            stage=evaluate,
            config=evaluation.evaluate,
            contract=contracts.SCORES,
            inputs={"run": f"run_{name}", "questions": "sqa_benchmarks", "speech_tokenizer": "speech_tokenizer"},
            kinds=("table",),
            pool="gpu",
            cost="heavy",
        )
    for system in evaluation.systems:
        yield Node(
            name=f"eval_{system.name}",
            group="evals",
            description=f"The spoken questions put to another system: {system.description}.",
            stage=score_system,
            config=system,
            contract=contracts.SYSTEM_SCORES,
            inputs={
                "questions": "sqa_benchmarks",
                **({"base_lm": "base_lm"} if system.system.reads_text_lm else {}),
            },
            kinds=("table",),
            pool="gpu",
            cost="heavy",
        )
    yield Node(
        name="text_skill",
        group="evals",
        description="lm-evaluation-harness on base_lm and every run: what they know as text models, and what was lost.",
        stage=text_skill,
        config=evaluation.text_skill,
        contract=contracts.METRICS,
        inputs={
            "base_lm": "base_lm",
            **{f"run_{name}": f"run_{name}" for name in _run_names(recipe)},
            "questions": "sqa_benchmarks",
        },
        kinds=("table",),
        pool="gpu",
        cost="heavy",
    )
    yield Node(
        name="topic_coverage",
        group="evals",
        description="Which topics web speech, Krist, Quest and the questions are about, and how far they are apart.",
        stage=cover_topics,
        config=evaluation.topics,
        contract=contracts.METRICS,
        inputs={**_text_corpora(recipe), "questions": "sqa_benchmarks", "text_tokenizer": "text_tokenizer"},
        kinds=("table",),
        cost="heavy",
    )
    yield Node(
        name="contamination",
        group="evals",
        description="N-grams of the benchmark questions that occur in the training texts, with the hits to read.",
        stage=find_contamination,
        config=evaluation.contamination,
        contract=contracts.METRICS,
        inputs={**_text_corpora(recipe), "questions": "sqa_benchmarks", "text_tokenizer": "text_tokenizer"},
        kinds=("table",),
    )
    yield Node(
        name="leaderboard",
        group="evals",
        description="All runs side by side, with intervals, gap, topics and contamination; a page and its numbers.",
        stage=leaderboard,
        config=evaluation.leaderboard,
        contract=contracts.LEADERBOARD,
        inputs={
            **{f"{kind}_{name}": f"{kind}_{name}" for name in _run_names(recipe) for kind in ("run", "eval")},
            **{f"system_{system.name}": f"eval_{system.name}" for system in evaluation.systems},
            "text_skill": "text_skill",
            "topic_coverage": "topic_coverage",
            "contamination": "contamination",
        },
        kinds=("html",),
    )


def _text_corpora(recipe: Recipe) -> dict[str, str]:
    return {f"{name}_tokens": f"{name}_corpus" for name in _token_sets(recipe) if name != "web_coarse"}
