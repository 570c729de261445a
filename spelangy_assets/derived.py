"""Derived datasets, which follow from others by rule: roll-ups, indexes, tokens, accounts, pages, evaluations.

Put here: which derived dataset follows from which handle, each rule once. Do not put here: a stage's own work or facts
(its module), or any recipe. A derived dataset depends on its own parents only, never on other datasets of a recipe; the
leaderboard alone depends on all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from spelangy_assets.execution.dataset import Dataset, config_of, dataset, with_companions, word
from spelangy_assets.report.comparisons import FOLLOWING, TALK
from spelangy_assets.report.leaderboard_page import Ablation
from spelangy_assets.stages import (
    account_speech,
    adopt_chunks,
    describe_data,
    generate_answers,
    judge_answers,
    measure_speech,
    pack_conversations,
    prefer_answers,
    round_trip,
    text_skill,
    tokenize_chunks,
    tokenize_text,
    train_lm,
    write_chunk_page,
    write_question_page,
    write_synthetic_page,
)
from spelangy_assets.stages import leaderboard as leaderboard_stage
from spelangy_assets.stages import mix as mix_stage
from spelangy_assets.stages import post_training as post_training_stage
from spelangy_assets.stages.chunk_speech import cut_chunks
from spelangy_assets.stages.cover_topics import topics
from spelangy_assets.stages.evaluate import evaluation
from spelangy_assets.stages.find_contaminated import contaminated
from spelangy_assets.stages.find_contamination import contamination
from spelangy_assets.stages.find_duplicate_pages import repeated_pages
from spelangy_assets.stages.find_duplicate_recordings import repeated_recordings
from spelangy_assets.stages.generate_answers import answers_of_run, answers_of_system
from spelangy_assets.stages.judge_answers import judged_answers
from spelangy_assets.stages.leaderboard import RunRow, SystemRow, TokenSetRow
from spelangy_assets.stages.list_answers import accepted_answers
from spelangy_assets.stages.perturb_questions import perturbed
from spelangy_assets.stages.post_training import TunedRun
from spelangy_assets.stages.prefer_answers import preferred_answers
from spelangy_assets.stages.roll_up import corpus
from spelangy_assets.stages.speak import spoken
from spelangy_assets.stages.tokenize_conversations import conversation_tokens
from spelangy_assets.stages.tokenize_questions import question_codes
from spelangy_model.audio.chunking import ChunkRule
from spelangy_model.audio.perturbations import Perturbation
from spelangy_model.data.conversations import TEMPLATES
from spelangy_model.data.interleave import Interleaving, Sampling
from spelangy_model.data.mixture import Mixture, Proportion, Source
from spelangy_model.text.llm import LanguageModel, LanguageModelChoice

_INDEXES = {"ingest_audio": repeated_recordings, "ingest_pages": repeated_pages, "ingest_texts": repeated_pages}


def duplicates_of(one: Dataset) -> Dataset:
    """Return the index of duplicates in the crawl that a dataset is made from, over all its named snapshots."""
    crawl = one.crawl
    if crawl is None:
        raise ValueError(f"{one.name} is made from no crawl")
    return _INDEXES[crawl.stage_name](corpus(replace(crawl, snapshots=crawl.home, label=crawl.name)))


@word
def chunks(audio: Dataset, transcripts: Dataset, rule: ChunkRule, *, name: str, seed: int = 0) -> Dataset:
    """Return the chunks that a rule makes of transcripts, with their account, listening page and contents.

    `seed`: of the mixes, whose coins the account counts.
    """
    made = cut_chunks(audio, transcripts, rule, name=name)
    segments, hypotheses = (transcripts.inputs[role] for role in ("speech_segments", "transcript_hypotheses"))
    ledger = account_speech.ledger(
        audio, segments, transcripts, made, name=f"{name}_ledger", seed=seed, target_s=rule.PAPER_MEAN_S
    )
    page = write_chunk_page.chunk_page(audio, segments, hypotheses, transcripts, made, ledger, name=f"{name}_page")
    return measured(with_companions(made, ledger=ledger, page=page))


@word
def adopted_chunks(audio: Dataset, **options: Any) -> Dataset:
    """Return the chunks that came with recordings, with their contents.

    `options` are `name` and fields of the Config of stages/adopt_chunks.py.
    """
    return measured(adopt_chunks.adopted_chunks(audio, **options))


@word
def measured(chunks: Dataset, measures: measure_speech.Config | None = None, *, name: str = "") -> Dataset:
    """Return chunks that are measured, and whose tokens leave out what is below the limits of `measures`.

    Chunks are measured without an opinion score and without limits unless this says otherwise. `name` is the prefix of
    what is made from them, where a recipe has the same chunks with and without limits.
    """
    one = replace(chunks, label=name or chunks.label)
    found = measure_speech.measure(one, measures or measure_speech.Config())
    contents = describe_data.contents_of_chunks(corpus(found), one.label)
    return with_companions(one, measures=found, contents=contents)


@word
def speech(scripts: Dataset, check: round_trip.Config | None = None, *, name: str = "", **options: Any) -> Dataset:
    """Return scripts as synthetic speech, with its round trip, listening page and contents.

    `check`: the recognizer of a sample of each voice, and its limit of word errors; speech that it rejects enters no
    token set. None: no check. `options` are fields of stages/speak.py's Config.
    """
    made = measured(spoken(scripts, name=name, **options))
    if check is None:
        return made
    trip = round_trip.round_trip(made, check)
    page = write_synthetic_page.synthetic_page(
        scripts.inputs["raw_pages"], scripts, made, trip, name=f"{made.label}_page"
    )
    return with_companions(made, round_trip=trip, page=page)


@dataclass(frozen=True)
class Tokens:
    """The two tokenizers of a recipe; called with chunks or documents it returns their token set."""

    speech: Dataset
    text: Dataset
    max_text_chunk_tokens: int = 128
    """Of a text-only document: a longer one is cut at paragraphs."""

    def __call__(self, one: Dataset) -> Dataset:
        """Return the token set of chunks or documents, over the same snapshots."""
        if one.stage_name in _DOCUMENTS:
            made = tokenize_text.text_tokens(one, self.text, max_chunk_tokens=self.max_text_chunk_tokens)
        else:
            trip, measures = (one.companions.get(role) for role in ("round_trip", "measures"))
            if measures is not None and not measures.config.limits:
                measures = None
            made = tokenize_chunks.speech_tokens(one, self.speech, self.text, round_trip=trip, measures=measures)
        return replace(made, snapshots=one.snapshots, home=one.home)


_DOCUMENTS = ("extract_text", "ingest_texts")


@word
def mix(
    *,
    speech: Mapping[Dataset, float] | None = None,
    text: Mapping[Dataset, float] | None = None,
    rows: int,
    row_tokens: int = 256,
    text_share: float | None = None,
    sampling: Sampling = "deterministic",
    loss_on_speech: bool = False,
    max_epochs: float = 16.0,
    seed: int = 0,
    without: Dataset | None = None,
    licences: Mapping[Dataset, Sequence[str]] | Sequence[str] = (),
    rows_per_shard: int = 1024,
    parts: int = 1,
    name: str = "",
) -> Dataset:
    """Return packed training rows drawn from token sets.

    `speech` and `text` give each token set its share of the tokens of its kind, which sum to 1; `text_share` of all
    tokens are text-only (by default 0 without `text`, 1 without `speech`). Documents that an earlier one repeats are
    left out, and with `without=questions` those that hold words of a question. `licences` are those that documents may
    have, as patterns (CC-BY-*), for all token sets or for each that is named; documents of others are left out and
    counted. `parts`: the mix is planned in so many parts, one after another, each from shards of its own; name several
    where one plan, of 300 bytes a document, does not fit into memory.
    """
    if isinstance(licences, str):
        raise TypeError(f"licences= is a list of patterns, not the text {licences!r}")
    named = licences if isinstance(licences, Mapping) else {}
    if stray := [one for one in named if one not in {**(speech or {}), **(text or {})}]:
        raise ValueError(f"licences= names {stray[0].name}, which is no token set of this mix")
    sets = [
        *((f"speech.{i}", "speech_text", one, share) for i, (one, share) in enumerate((speech or {}).items())),
        *((f"text.{i}", "text", one, share) for i, (one, share) in enumerate((text or {}).items())),
    ]
    if not sets:
        raise TypeError("name at least one token set: speech={...} or text={...}")
    if not speech and (sampling != "deterministic" or loss_on_speech):
        raise TypeError("sampling= and loss_on_speech= do nothing in a mix of text alone: leave them out")
    text_tokenizer = _common("text_tokenizer", [one for *_, one, _ in sets])
    if text_share is None:
        if speech and text:
            raise TypeError("text_share= must state which share of the tokens is text-only")
        text_share = 0.0 if speech else 1.0
    inputs: dict[str, Dataset] = {"text_tokenizer": text_tokenizer}
    if speech:
        inputs["speech_tokenizer"] = _common("speech_tokenizer", list(speech))
    indexes: dict[str, Dataset] = {}
    for role, _, one, _ in sets:
        inputs[role] = corpus(one)
        index = duplicates_of(one)
        indexes[index.identity] = index
        if without is not None:
            inputs[f"contaminated.{role}"] = contaminated(inputs[role], without, text_tokenizer)
    inputs |= {f"duplicates.{i}": index for i, index in enumerate(indexes.values())}
    mixture = Mixture(
        sources=tuple(
            Source(role, kind, Proportion(share), _licences_of(one, licences)) for role, kind, one, share in sets
        ),
        rows=rows,
        row_length=row_tokens,
        text_share=text_share,
        interleaving=Interleaving(sampling=sampling, loss_on_speech=loss_on_speech),
        max_epochs=max_epochs,
        seed=seed,
    )
    made = dataset(mix_stage.__name__, mix_stage.Config(mixture, rows_per_shard, parts), name=name, inputs=inputs)
    return _named_mix(made, name, name) if name else made


def _named_mix(mix: Dataset, name: str, label: str) -> Dataset:
    """Return a mix under a name; one that draws from several sets of speech has contents of its own."""
    made = replace(mix, name=name, label=label)
    measures = {}
    for role, one in mix.inputs.items():
        if role.startswith("speech."):
            tokens = one.members[0][0]
            found = tokens.inputs["chunks"].companions.get("measures")
            if found is not None:
                measures[role] = corpus(found.on(*(snapshot for _, snapshot in one.members if snapshot)))
    sets = [role for role in mix.inputs if role.startswith("speech.")]
    if len(sets) < 2 or len(measures) < len(sets):
        return made
    return with_companions(made, contents=describe_data.contents_of_mix(made, measures))


def _licences_of(one: Dataset, licences: Mapping[Dataset, Sequence[str]] | Sequence[str]) -> tuple[str, ...]:
    return tuple(licences.get(one, ()) if isinstance(licences, Mapping) else licences)


def _common(role: str, token_sets: Sequence[Dataset]) -> Dataset:
    """Return the one tokenizer that token sets have in that role. ValueError where they have several, or none."""
    for one in token_sets:
        if "text_tokenizer" not in one.inputs:
            raise ValueError(f"{one.name} is no token set: pass its tokens, tokens({one.name}) of lab.Tokens")
        if role not in one.inputs:
            raise ValueError(f"{one.name} has no {role}: it is a token set of text, which belongs to text={{...}}")
    found = {one.inputs[role].identity: one.inputs[role] for one in token_sets}
    if len(found) > 1:
        names = ", ".join(one.name for one in found.values())
        raise ValueError(f"the token sets of a mix have one {role.replace('_', ' ')}, not {names}")
    (one,) = found.values()
    return one


@word
def train(
    mix: Dataset,
    *,
    base: Dataset | None = None,
    match_loss_tokens_of: Dataset | None = None,
    name: str = "",
    **options: Any,
) -> Dataset:
    """Return a language model trained on a mix: from `base`, or from a new model of `preset`.

    A run that an arm of a leaderboard names needs no name of its own. `options` are fields of the Config of
    stages/train_lm.py. With `match_loss_tokens_of`, another run, it sees as many loss tokens as that one: the steps and
    their schedule are scaled, so that arms whose rows hold different numbers of loss tokens can be compared.
    """
    config = config_of(train_lm.Config, options)
    if (base is None) == (not config.preset):
        raise TypeError("a run starts from base= or from preset=: give exactly one of them")
    name = name or ("base_lm" if base is None else "")
    named = mix if mix.name or not name else _named_mix(mix, f"mix_{name}", name)
    inputs = {
        "mix": named,
        "base_lm": base,
        "matched": match_loss_tokens_of,
        "text_tokenizer": mix.inputs["text_tokenizer"],
    }
    return dataset(train_lm.__name__, config, name=name, inputs=inputs)


@word
def finetune(
    run: Dataset,
    conversations: Dataset | Sequence[Dataset],
    *,
    name: str,
    tokens: Tokens | None = None,
    row_tokens: int = 256,
    template: str = pack_conversations.Config.template,
    spoken_share: float = 1.0,
    seed: int = 0,
    **options: Any,
) -> Dataset:
    """Return a run that trains `run` further on conversations, with the loss on answers alone.

    It is a run like any other: trained by the same loop on rows of the same type. `conversations` are one set or
    several, each of their conversations once in the rows, which the steps read again from the first after the last.
    `tokens`: the tokenizers of a run that was trained elsewhere; else those of its mix. `row_tokens`, `template` and
    `spoken_share` are fields of stages/pack_conversations.py's Config, `options` of stages/train_lm.py's; with
    `lora_rank` low-rank adapters are trained, and merged into the weights of the run that is published.
    """
    sets = _several(conversations)
    if not sets:
        raise TypeError("name at least one set of conversations")
    speech = tokens.speech if tokens else _tokenizer_of(run, "speech_tokenizer")
    text = tokens.text if tokens else _tokenizer_of(run, "text_tokenizer")
    inputs: dict[str, Dataset] = {"text_tokenizer": text, "speech_tokenizer": speech}
    for place, one in enumerate(sets):
        inputs[f"{pack_conversations.SOURCES}{place}"] = corpus(conversation_tokens(one, speech, text))
    config = pack_conversations.Config(row_tokens=row_tokens, seed=seed, template=template, spoken_share=spoken_share)
    label = "_".join(one.label for one in sets)
    rows = dataset(pack_conversations.__name__, config, name=f"{label}_rows", label=label, inputs=inputs)
    return train(rows, base=run, name=name, seed=seed, **options)


def _several(given: Dataset | Sequence[Dataset]) -> list[Dataset]:
    return [given] if isinstance(given, Dataset) else list(given)


def _tokenizer_of(run: Dataset, role: str) -> Dataset:
    """Return the tokenizer of a run's mix. ValueError for a run without one."""
    mix = run.inputs.get("mix")
    if mix is None or role not in mix.inputs:
        raise ValueError(f"{run.name} has no mix with a {role}: give tokens=lab.Tokens(speech=..., text=...)")
    return mix.inputs[role]


def named_run(run: Dataset, arm: str, seed: int = 0) -> Dataset:
    """Return a run with the name of its arm, where it has none; so its mix. `seed`: which of the arm's runs it is."""
    if run.name:
        return run
    inputs = dict(run.inputs)
    if not inputs["mix"].name:
        mix = _named_mix(inputs["mix"], f"mix_{arm}", arm)
        inputs["mix"] = mix if seed == 0 else replace(mix, companions={})  # other seeds draw the same shares
    return replace(run, name=f"run_{arm}", label=arm, inputs=inputs)


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Answers in words beside likelihood: how many tokens one has, and whether a language model judges it."""

    max_answer_tokens: int = 32
    judge: LanguageModel | LanguageModelChoice | None = None
    """It is asked about each answer; None: answers are matched with the accepted ones alone."""
    max_questions: int = 0
    """Draws so many recordings for each run; 0 takes all."""
    seed: int = 0

    def config(self, **options: Any) -> generate_answers.Config:
        """Return the config of a run's answers; `options` are its further fields, or others than these."""
        own = {"max_answer_tokens": self.max_answer_tokens, "max_questions": self.max_questions, "seed": self.seed}
        return generate_answers.Config(**{**own, **options})


@dataclass(frozen=True, kw_only=True)
class Judging:
    """How runs are judged, the same for all of a leaderboard."""

    evaluation: Mapping[str, Any] = field(default_factory=dict)
    """Fields of stages/evaluate.py's Config."""
    text_skill: text_skill.Config | None = None
    """The tasks of text skill; None: it is not measured."""
    topics: Mapping[str, Any] | None = field(default_factory=dict)
    """Fields of stages/cover_topics.py's Config; None: topics are not counted."""
    contamination: Mapping[str, Any] = field(default_factory=dict)
    """Fields of stages/find_contamination.py's Config."""
    talk: Dataset | None = None
    """Held-out talk, by which spoken-context loss and hearing gain are measured; None: they are not."""
    generation: Generation | None = None
    """Answers in words; None: runs and systems are judged by likelihood alone."""


@word
def leaderboard(
    arms: Mapping[str, Dataset | Sequence[Dataset]],
    questions: Dataset,
    *,
    ablations: Sequence[Ablation] = (),
    systems: Sequence[Dataset] = (),
    larger: Dataset | None = None,
    judging: Judging | None = None,
    name: str = "leaderboard",
    **options: Any,
) -> Dataset:
    """Return the board on which arms are compared: each a run, or the runs of several seeds.

    With it comes a page of questions to listen to, with what was answered. From each run follow its evaluation, its
    text skill and the contamination of its mix, from each token set of the mix its topics; with `judging.generation`
    from each run, and each system that can, its answers in words. `ablations` are the planned comparisons, each of two
    arms by one metric; other pairs are exploratory. `systems` are the alternatives that a user has. `larger` is a board
    of the same arms at a larger size: metrics are judged by how often they order arms as accuracy does there. `options`
    are fields of stages/leaderboard.py's Config (title, plan, effects, chance, seed).
    """
    judging = judging or Judging()
    for ablation in ablations:
        if ablation.metric == FOLLOWING:
            raise ValueError(f"the ablation {ablation.intervention!r} is of fine-tuned runs: give it to post_training")
        if ablation.metric.startswith(TALK) and judging.talk is None:
            raise ValueError(
                f"the ablation {ablation.intervention!r} is tested by {ablation.metric}, and no talk is held out: "
                "give judging=Judging(talk=held_out_talk(...))"
            )
        if unknown := [arm for arm in (ablation.before, ablation.after) if arm not in arms]:
            raise ValueError(
                f"the ablation {ablation.intervention!r} names the arm {unknown[0]!r}, which is none of "
                f"{', '.join(arms)}"
            )
    for effect in options.get("effects", ()):
        if unknown := [arm for arm, _ in effect.coefficients if arm not in arms]:
            raise ValueError(
                f"the effect {effect.name!r} names the arm {unknown[0]!r}, which is none of {', '.join(arms)}"
            )
    inputs: dict[str, Dataset] = {}
    in_page: dict[str, Dataset] = {}  # of each arm its first run, and all systems
    shown: list[str] = []
    rows: list[RunRow] = []
    sets: dict[str, tuple[int, Dataset]] = {}
    bases: dict[str, str] = {}
    labels: list[TokenSetRow] = []
    generation = judging.generation
    accepted = accepted_answers(questions) if generation is not None else None
    judge = judge_answers.Config(generation.judge if generation is not None else None)
    codes: dict[str, Dataset] = {}  # the questions as codes of each speech tokenizer, once for all runs

    def codes_for(tokenizer: Dataset) -> Dataset:
        if tokenizer.identity not in codes:
            other = f"_{tokenizer.name}" if codes else ""
            codes[tokenizer.identity] = question_codes(questions, tokenizer, name=f"{questions.label}_codes{other}")
        return codes[tokenizer.identity]

    named: dict[str, Dataset] = {}  # the runs of all arms, by their identity before they had a name
    for arm, given in arms.items():
        for number, one in enumerate(_runs_of(arm, given)):
            named[one.identity] = named_run(one, _label(arm, given, number), number)
    for arm, given in arms.items():
        for number, one in enumerate(_runs_of(arm, given)):
            label, run, index = _label(arm, given, number), named[one.identity], len(rows)
            matched = run.inputs.get("matched")
            if matched is not None and matched.identity in named:
                run = replace(run, inputs={**run.inputs, "matched": named[matched.identity]})
            mixed = run.inputs.get("mix")
            tokenizer = _speech_tokenizer([run, *named.values()])
            inputs[f"run.{index}"] = run
            row: dict[str, Any] = {"label": label, "arm": arm, "run": run.name, "evaluation": f"eval_{run.label}"}
            inputs[f"eval.{index}"] = evaluation(
                run,
                questions,
                codes_for(tokenizer),
                name=row["evaluation"],
                talk=judging.talk,
                speech_tokenizer=tokenizer if judging.talk is not None else None,
                **judging.evaluation,
            )
            if judging.text_skill is not None:
                base = run.inputs.get("base_lm")
                base_skill = None
                if base is not None:
                    base_skill = text_skill.text_skill(
                        base, questions, judging.text_skill, name=f"text_skill_{base.name}"
                    )
                    role = bases.setdefault(base_skill.identity, f"base_skill.{len(bases)}")
                    inputs[role] = base_skill
                row["skill"] = f"text_skill_{run.label}"
                inputs[f"skill.{index}"] = text_skill.text_skill(
                    run, questions, judging.text_skill, name=row["skill"], base=base_skill
                )
            if generation is not None:
                answers = answers_of_run(
                    run,
                    questions,
                    codes_for(tokenizer),
                    generation.config(**{k: v for k, v in judging.evaluation.items() if k == "answer_prefix"}),
                )
                inputs[f"answers.{index}"] = judged_answers(answers, accepted, judge)
                row["answers"] = inputs[f"answers.{index}"].name
                if number == 0:
                    in_page[f"answers.{len(shown)}"] = answers
            if number == 0:
                in_page[f"eval.{len(shown)}"] = inputs[f"eval.{index}"]
                shown.append(label)
            sources: list[tuple[str, int]] = []
            if mixed is not None:
                of_mix = contamination(mixed, questions, **judging.contamination)
                inputs[f"contamination.{index}"], row["contamination"] = of_mix, of_mix.name
                for role, rolled in mixed.inputs.items():
                    if role.startswith(("speech.", "text.")):
                        place, _ = sets.setdefault(rolled.identity, (len(sets), rolled))
                        sources.append((role, place))
            rows.append(RunRow(**row, sources=tuple(sources)))
    for place, rolled in sets.values():
        called = ""
        if judging.topics is not None:
            text_tokenizer = rolled.members[0][0].inputs["text_tokenizer"]
            inputs[f"topics.{place}"] = topics(rolled, text_tokenizer, **judging.topics)
            called = inputs[f"topics.{place}"].name
        labels.append(TokenSetRow(rolled.label, called))
    if judging.topics is not None:
        inputs["topics.questions"] = topics(questions, None, **judging.topics)
    inputs |= {f"system.{i}": one for i, one in enumerate(systems)}
    in_page |= {f"system.{i}": one for i, one in enumerate(systems)}
    in_words: dict[int, str] = {}
    for place, one in enumerate(systems):
        if generation is not None and getattr(one.config.system, "generates", False):
            answers = answers_of_system(
                questions,
                generation.config(
                    max_questions=one.config.max_questions, seed=one.config.seed, system=one.config.system
                ),
                label=one.label,
                text_lm=one.inputs.get("base_lm"),
            )
            inputs[f"system_answers.{place}"] = judged_answers(answers, accepted, judge)
            in_page[f"system_answers.{place}"] = answers
            in_words[place] = inputs[f"system_answers.{place}"].name
    if larger is not None:
        inputs["larger"] = larger
    config = leaderboard_stage.Config(
        runs=tuple(rows),
        token_sets=tuple(labels),
        systems=tuple(SystemRow(one.label, one.name, in_words.get(i, "")) for i, one in enumerate(systems)),
        bases=tuple(inputs[role].inputs["model"].name for role in bases.values()),
        base_skills=tuple(inputs[role].name for role in bases.values()),
        questions_topics=inputs["topics.questions"].name if judging.topics is not None else "",
        larger=larger.name if larger is not None else "",
        ablations=tuple(ablations),
        **options,
    )
    page = write_question_page.answered_questions(
        questions,
        in_page,
        write_question_page.Config(
            runs=tuple(shown), systems=tuple(one.label for one in systems), board=name, seed=config.seed
        ),
        name=f"{name}_page",
    )
    return with_companions(dataset(leaderboard_stage.__name__, config, name=name, inputs=inputs), page=page)


@word
def post_training(
    board: Dataset,
    tuned: Mapping[str, Dataset | Sequence[Dataset]],
    instructions: Dataset,
    *,
    perturbations: Sequence[Perturbation] = (),
    perturbed_questions: int = 0,
    generation: Generation | None = None,
    ablations: Sequence[Ablation] = (),
    name: str = "post_training",
    **options: Any,
) -> Dataset:
    """Return the board of fine-tuned arms: each beside its spoken QA at pretraining, with the rank correlation.

    `board` is the leaderboard of the runs that were fine-tuned, whose evaluations stand for pretraining; `tuned` are
    the runs of `lab.finetune` by the names of its arms, in the order of their seeds. Each answers the spoken and the
    written `instructions` (`lab.questions`) in words, in the template that it was trained on, and with `perturbations`
    `perturbed_questions` drawn recordings (0: all) with each of them. `ablations` are planned comparisons of how
    instructions are followed, tested together (Holm). `generation`: limits, and the judge, which is asked about each
    answer alone and, for each ablation, which of the two arms' answers is better, in both orders. `options` are fields
    of stages/post_training.py's Config.
    """
    rows = board.config.runs if isinstance(board.config, leaderboard_stage.Config) else ()
    generation = generation or Generation()
    seed = generation.seed
    if perturbations:
        asked = perturbed(instructions, *perturbations, seed=seed, max_questions=perturbed_questions)
    else:
        asked = instructions
    accepted = accepted_answers(instructions)
    inputs: dict[str, Dataset] = {"questions": asked}
    runs: list[TunedRun] = []
    firsts: dict[str, Dataset] = {}  # the answers of each arm's first run
    for arm, given in tuned.items():
        several = _runs_of(arm, given)
        places = [place for place, row in enumerate(rows) if row.arm == arm]
        if len(places) != len(several):
            raise ValueError(f"the arm {arm!r} has {len(several)} fine-tuned runs, and {len(places)} on {board.name}")
        for place, run in zip(places, several, strict=True):
            packing = run.inputs["mix"].config if "mix" in run.inputs else None
            if not isinstance(packing, pack_conversations.Config):
                raise ValueError(f"{run.name} was not fine-tuned on conversations: give a run of lab.finetune")
            tokenizer = run.inputs["mix"].inputs["speech_tokenizer"]
            answers = answers_of_run(
                run,
                asked,
                question_codes(asked, tokenizer, name=f"{asked.label}_codes"),
                generation.config(answer_prefix=TEMPLATES[packing.template].answer_prefix, whole_reply=True),
            )
            firsts.setdefault(arm, answers)
            inputs[f"eval.{len(runs)}"] = board.inputs[f"eval.{place}"]
            inputs[f"judged.{len(runs)}"] = judged_answers(answers, accepted, judge_answers.Config(generation.judge))
            runs.append(TunedRun(rows[place].label, arm))
    for one in ablations:
        if one.metric != FOLLOWING or not {one.before, one.after} <= set(tuned):
            raise ValueError(
                f"the ablation {one.intervention!r} compares {one.before} with {one.after} by {one.metric}: here it "
                f"takes the metric {FOLLOWING} and two of the arms {', '.join(tuned)}"
            )
    if generation.judge is not None:
        prefers = prefer_answers.Config(generation.judge)
        for place, one in enumerate(ablations):
            inputs[f"preferred.{place}"] = preferred_answers(firsts[one.after], firsts[one.before], accepted, prefers)
    config = post_training_stage.Config(
        tuple(runs), tuple(one.split for one in perturbations), tuple(ablations), **options
    )
    return dataset(post_training_stage.__name__, config, name=name, inputs=inputs)


def _runs_of(arm: str, given: Dataset | Sequence[Dataset]) -> list[Dataset]:
    """Return the runs of an arm. ValueError where two of them are one run under two names: that is no second seed."""
    runs = _several(given)
    seen: set[str] = set()
    for one in runs:
        if one.unnamed in seen:
            seed = getattr(one.config, "seed", None)
            stated = "" if seed is None else f" with the seed {seed}"
            raise ValueError(f"the arm {arm!r} lists one run twice{stated}: give each another seed")
        seen.add(one.unnamed)
    return runs


def _label(arm: str, given: Dataset | Sequence[Dataset], number: int) -> str:
    """Return the label of an arm's run: the arm's name, with several runs that and the number."""
    return arm if len(_runs_of(arm, given)) == 1 else f"{arm}_s{number}"


def _speech_tokenizer(runs: Sequence[Dataset]) -> Dataset:
    """Return the speech tokenizer of the first run's mix; of an adopted run that of the other runs."""
    for one in runs:
        mix = one.inputs.get("mix")
        if mix is not None and "speech_tokenizer" in mix.inputs:
            return mix.inputs["speech_tokenizer"]
    raise ValueError(f"no mix of the arms has speech, so that {runs[0].name} cannot be asked spoken questions")
