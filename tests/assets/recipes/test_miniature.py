"""The miniature: its arms differ by what the paper changes and by nothing else, and their speech can teach."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.recipes.miniature import ABLATIONS, AGAIN, ARMS, MINIATURE, MINIATURE_AGAIN, MINIATURE_LOW, RECORD
from spelangy_assets.recipes.miniature_parts import ASKING_VOICES, MAX_EPOCHS, MAX_RESTATED_SHARE, VOICES
from spelangy_assets.recipes.miniature_sweeps import (
    FACTORIAL,
    MINIATURE_AGAIN_BASES,
    MINIATURE_BASES,
    MINIATURE_DIALS,
    MINIATURE_FACTORIAL,
    MINIATURE_QUEST_SHARES,
)
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.sample.pages import article_page
from spelangy_assets.sample.render import benchmark_questions
from spelangy_assets.sample.site import WorldEntries
from spelangy_assets.sample.world import words_of
from spelangy_assets.sample.worlds import open_world
from spelangy_assets.stages import extract_text
from spelangy_assets.store.fingerprint import payload_of
from spelangy_model.audio.chunking import ChunkRule, chunk_recording
from spelangy_model.audio.words import spread
from spelangy_model.records import Line, Page, Transcript
from spelangy_model.text.krist import KristRules, rewrite_for_listening, write_scripts

MINIATURES = (MINIATURE, MINIATURE_AGAIN, MINIATURE_LOW, MINIATURE_FACTORIAL, MINIATURE_QUEST_SHARES)
EACH = pytest.mark.parametrize("recipe", MINIATURES, ids=lambda recipe: recipe.name)
WORLD = open_world(RECORD.world)


def runs_of(recipe: Recipe) -> dict[str, list[str]]:
    """Return the runs of each arm, by name."""
    board = recipe.graph["leaderboard"]
    runs: dict[str, list[str]] = {}
    for index, row in enumerate(board.config.runs):
        runs.setdefault(row.arm, []).append(board.inputs[f"run.{index}"])
    return runs


@EACH
def test_everything_is_of_one_larger_world_that_is_installed(recipe: Recipe) -> None:
    assert recipe_named(recipe.name) is recipe
    literals = json.dumps([payload_of([node.config, dict(node.snapshots)]) for node in recipe.graph])
    (world,) = {part.split('"')[0] for part in literals.split('"world": "')[1:]}
    assert open_world(world).digest == world


def test_the_run_of_record_and_the_second_have_other_facts_questions_and_seeds() -> None:
    def seeds(dial) -> set[int]:
        return {dial.seed + number for number in range(max(dial.seeds.values()))}

    spent = set(range(20261101, 20261201))  # on pilots
    assert not seeds(RECORD) & seeds(AGAIN)
    assert not (seeds(RECORD) | seeds(AGAIN)) & spent
    assert replace(AGAIN, world=RECORD.world, seed=RECORD.seed) == RECORD
    first, second = (benchmark_questions(open_world(dial.world), dial.seed) for dial in (RECORD, AGAIN))
    assert not {question.text_id for question in first} & {question.text_id for question in second}


@EACH
def test_all_arms_have_a_budget_and_no_source_has_more_than_one_and_a_half_epochs(recipe: Recipe) -> None:
    graph, budgets, trained = recipe.graph, set(), []
    for runs in runs_of(recipe).values():
        mixtures = [graph[graph[run].inputs["mix"]].config.mixture for run in runs]
        assert len({mixture.seed for mixture in mixtures}) == len(runs) >= 2
        assert len({replace(mixture, seed=0) for mixture in mixtures}) == 1
        for run, mixture in zip(runs, mixtures, strict=True):
            config = graph[run].config
            assert mixture.max_epochs == MAX_EPOCHS == 1.5
            assert config.seed == mixture.seed
            assert config.steps * config.batch_rows == mixture.rows
            budgets.add((mixture.rows, mixture.row_length, mixture.text_share))
            trained.append(replace(config, seed=0))
    assert len(budgets) == 1
    assert trained.count(trained[0]) == len(trained)


def test_the_matched_arm_sees_the_loss_tokens_of_the_run_with_its_seed() -> None:
    runs = runs_of(MINIATURE)
    matched = [MINIATURE.graph[run].inputs.get("matched") for run in runs["unmasked_matched"]]
    assert matched == runs["fine"][: len(matched)]
    assert all("matched" not in MINIATURE.graph[run].inputs for run in runs["unmasked"])


@pytest.mark.parametrize("row", ABLATIONS, ids=lambda row: f"{row.before} to {row.after}")
def test_an_ablation_changes_one_thing(row) -> None:
    before, after = ARMS[row.before], ARMS[row.after]
    changed = {
        name for name in ("shares", "sampling", "loss_on_speech") if getattr(before, name) != getattr(after, name)
    }
    assert changed == {{"Modality sampling": "sampling", "Loss": "loss_on_speech"}.get(row.intervention, "shares")}


def test_shares_are_the_papers() -> None:
    assert all(abs(sum(arm.shares.values()) - 1) < 1e-9 for arm in (ARMS | FACTORIAL).values())
    assert ARMS["krist_quest"].shares == {"fine": 0.59, "krist": 0.35, "quest": 0.06}


def test_the_same_two_voices_speak_everywhere_and_ask_at_a_rate_and_pitch_that_no_model_was_trained_on() -> None:
    graph = MINIATURE.graph
    spoken = [graph["krist_speech"].config.voices, graph["quest_speech"].config.voices]
    spoken += [source.voices for source in graph["raw_audio"].snapshots.values()]
    assert spoken == [VOICES] * 3
    questions, talk = graph["sqa_benchmarks"].config, graph["held_out_talk"].config
    assert questions.trained_voices == talk.voices == ASKING_VOICES
    assert [voice.name for voice in ASKING_VOICES] == [voice.name for voice in VOICES]
    for trained, asking in zip(VOICES, ASKING_VOICES, strict=True):
        assert trained.rate_wpm + trained.rate_jitter_wpm < asking.rate_wpm - asking.rate_jitter_wpm
        assert trained.pitch + trained.pitch_jitter < asking.pitch - asking.pitch_jitter
    held_out = {voice.accent for voice in questions.held_out_voices}
    assert not held_out & {voice.accent for voice in (*VOICES, *graph["tokenizer_speech"].config.voices)}


def test_krist_reads_entries_and_quest_mines_questions_of_other_snapshots() -> None:
    graph = MINIATURE.graph
    assert {partition for _, partition in graph["krist_corpus"].members} == {"entries"}
    assert {partition for _, partition in graph["quest_corpus"].members} == {"questions"}
    assert graph["krist_documents"].config.rules == KristRules(max_restated_share=MAX_RESTATED_SHARE)


def krist_lines(pages: Iterator[tuple[str, str]], rules: KristRules) -> Iterator[list[Line] | str]:
    """Yield what Krist's stage writes of each page, or the reason why it drops it."""
    for url, html in pages:
        page = Page(url, url, url, "", "CC0-1.0", "utf-8", html)
        document = extract_text.extract_document(page, extract_text.Config())
        if isinstance(document, str):
            yield document
            continue
        scripts = write_scripts(document, rewrite_for_listening(document.text), rules)
        yield scripts if isinstance(scripts, str) else [line for script in scripts for line in script.lines]


def values_read(documents: list[list[Line]]) -> tuple[int, int]:
    """Return how many of the world's values are read in the documents, every other line being spoken, and how many of
    these were read in their document before."""
    values = {value.lower() for relation in WORLD.relations for value in relation.values}
    read = before = 0
    for lines in documents:
        known: set[str] = set()
        for line in lines[1::2]:
            named = values.intersection(words_of(line.text))
            read, before = read + len(named), before + len(named & known)
            known |= named
    return read, before


def test_what_krist_reads_was_not_read_before_in_the_same_document_and_asks_nothing() -> None:
    source = WorldEntries(world=RECORD.world, seed=RECORD.seed, editions=RECORD.entries)
    pages = list(source.pages())
    assert len(pages) == len({html for _, html in pages}) == RECORD.entries * len(WORLD.entities)
    written = list(krist_lines(iter(pages[::60]), KristRules(max_restated_share=MAX_RESTATED_SHARE)))
    documents = [lines for lines in written if not isinstance(lines, str)]
    assert len(documents) == len(written)  # none is dropped
    assert not [line.text for lines in documents for line in lines if line.text.endswith("?")]
    read, before = values_read(documents)
    assert read > 2 * len(documents)
    assert before <= 0.1 * read


def test_the_articles_of_the_sample_state_facts_again_and_the_rule_drops_them() -> None:
    pages = [(page.url, page.html) for page in (article_page(WORLD, entity, 1) for entity in WORLD.entities[::24])]
    documents = [lines for lines in krist_lines(iter(pages), KristRules()) if not isinstance(lines, str)]
    read, before = values_read(documents)
    assert before > 0.25 * read
    assert set(krist_lines(iter(pages), KristRules(max_restated_share=MAX_RESTATED_SHARE))) == {"restates_facts"}


def lengths_s(recipe: Recipe, rule: ChunkRule, conversations: int) -> list[float]:
    """Return the lengths of the chunks that a rule makes of the recipe's first conversations."""
    render = recipe.graph["raw_audio"].snapshots["talk"].open()
    lengths: list[float] = []
    for made in map(render, range(conversations)):
        transcripts = [
            Transcript(
                segment_id=str(place),
                recording_id=made.source_uri,
                speaker=utterance.speaker,
                start_s=utterance.start_s,
                end_s=utterance.end_s,
                language="en",
                text=utterance.text,
                words=spread(utterance.text, utterance.start_s, utterance.end_s),
                systems=["given"],
                votes=[],
                agreement=1.0,
                confidence=1.0,
            )
            for place, utterance in enumerate(made.utterances)
        ]
        lengths += [span.end_s - span.start_s for span in chunk_recording(made.samples, transcripts, [], rule)]
    return lengths


def test_coarse_chunks_are_as_much_longer_than_fine_ones_as_the_papers_and_fit_into_a_row() -> None:
    graph = MINIATURE.graph
    coarse, fine = (lengths_s(MINIATURE, graph[name].config.rule, 6) for name in ("web_coarse", "web_fine"))
    assert 3.2 < np.mean(coarse) / np.mean(fine) < 4.0  # 19.2 s and 5.2 s are 3.7
    codes_per_s, markers = 12.5, 4
    assert max(coarse) * codes_per_s + markers < graph["mix_fine_s0"].config.mixture.row_length


def test_the_factorial_has_every_combination_and_plans_every_effect() -> None:
    assert len(FACTORIAL) == 8
    assert set(runs_of(MINIATURE_FACTORIAL)) == set(FACTORIAL)
    effects = MINIATURE_FACTORIAL.graph["leaderboard"].config.effects
    assert len(effects) == 2 * 7  # three main effects, three interactions of two factors and one of three
    (loss,) = {effect.coefficients for effect in effects if effect.name == "Loss"}
    assert {arm: factor for arm, factor in loss if factor > 0} == {
        arm: 0.25 for arm, one in FACTORIAL.items() if not one.loss_on_speech
    }


def test_the_dials_judge_the_metrics_by_the_same_board_as_the_miniature() -> None:
    graph = MINIATURE_DIALS.graph
    larger = graph[graph["leaderboard"].inputs["larger"]]
    miniature = MINIATURE.graph["leaderboard"]
    assert larger.config == miniature.config
    assert {role: graph[name].config for role, name in larger.inputs.items()} == {
        role: MINIATURE.graph[name].config for role, name in miniature.inputs.items()
    }
    assert graph["run_fine_s0"].config != graph["miniature_run_fine_s0"].config


def test_the_sweep_goes_from_no_quest_to_the_papers_most() -> None:
    mixes = [MINIATURE_QUEST_SHARES.graph[f"mix_{arm}_s0"].config.mixture for arm in runs_of(MINIATURE_QUEST_SHARES)]
    assert [mix.sources[1].amount.share if len(mix.sources) == 3 else 0 for mix in mixes] == [0, 0.1, 0.34, 0.66, 0.88]


def test_the_dial_turned_down_is_the_same_program_with_fewer_arms() -> None:
    def kinds(recipe: Recipe) -> set[str]:
        groups = ("mixes", "runs", "evals", "corpora")
        return {one.name for one in recipe.graph if one.group not in groups and not one.name.startswith("mix_")}

    used = {one for arm in runs_of(MINIATURE_LOW) for one in ARMS[arm].shares}
    unused = {"coarse", "fine", "krist", "quest"} - used
    assert kinds(MINIATURE) - kinds(MINIATURE_LOW) == {
        name for name in kinds(MINIATURE) if name.split("_")[0] in unused
    }
    assert 2 <= len(runs_of(MINIATURE_LOW)) < len(ARMS)


@pytest.mark.parametrize(
    ("recipe", "of"), [(MINIATURE_BASES, MINIATURE), (MINIATURE_AGAIN_BASES, MINIATURE_AGAIN)], ids=["first", "second"]
)
def test_the_runs_from_other_base_lms_differ_by_the_base_lm_alone(recipe: Recipe, of: Recipe) -> None:
    runs = [recipe[f"run_quest_base_{number}"] for number in range(3)]
    bases = [run.inputs["base_lm"] for run in runs]
    assert bases[0] is of["base_lm"]
    assert len({base.config.seed for base in bases}) == 3
    assert len({base.inputs["mix"].config.mixture.seed for base in bases}) == 3
    for base in bases:
        mix = base.inputs["mix"]
        assert replace(base.config, seed=0) == replace(bases[0].config, seed=0)
        assert mix.inputs == of["mix_base_lm"].inputs
        assert replace(mix.config.mixture, seed=0) == replace(of["mix_base_lm"].config.mixture, seed=0)
    for run in runs:
        assert run.inputs["mix"] is of["mix_quest_s0"]
        assert run.config == runs[0].config
        assert run.config.seed not in {of[f"run_quest_s{number}"].config.seed for number in range(3)}
