"""Conversations: the template to the id, the loss on answers alone, rows that hold each conversation once, whole."""

import numpy as np
import pytest

from spelangy_model.data.conversations import (
    TEMPLATES,
    ConversationError,
    PlacedConversation,
    check_roles,
    encode_conversation,
    pack_conversations,
    spoken_turns,
)
from spelangy_model.eval.prompts import spoken_prompt, text_prompt
from spelangy_model.records import PackedRow, TokenChunk, TokenDocument, from_table
from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.text import encode_texts, train_text_tokenizer
from spelangy_model.tokenizer.vocab import Layout

LAYOUT = Layout(text_size=100, codebook_size=20)
PREFIX = (50, 51)


def test_the_template_is_the_worked_example_of_the_module() -> None:
    turns = [
        TokenChunk("user", [7, 8], [9, 9]),
        TokenChunk("assistant", [], [20, 21]),
        TokenChunk("user", [], [30]),
        TokenChunk("assistant", [], [40]),
    ]
    found = encode_conversation(turns, LAYOUT, PREFIX, [True, False, False, False])
    assert found.ids.tolist() == [100, 102, 112, 113, 103, 50, 51, 20, 21, 101, 30, 50, 51, 40, 101]
    assert found.loss_mask.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1]
    assert found.switches == 1


def test_a_system_turn_is_text_before_the_instruction_and_no_loss_is_on_it() -> None:
    turns = [TokenChunk("system", [], [1, 2]), TokenChunk("user", [3], []), TokenChunk("assistant", [], [4])]
    found = encode_conversation(turns, LAYOUT, PREFIX, [False, True, False])
    assert found.ids.tolist() == [100, 1, 2, 102, 108, 103, 50, 51, 4, 101]
    assert found.loss_mask.tolist() == [0] * 8 + [1, 1]


def test_a_prompt_of_the_evaluation_is_what_the_template_trains_on() -> None:
    tokenizer = train_text_tokenizer(["Assistant: what is the color of the otter red"], 260)
    layout = Layout(tokenizer.get_vocab_size(), 20)
    prefix = TEMPLATES["reply.v1"].answer_prefix
    question, answer, asked = encode_texts(tokenizer, ["what color", "red", prefix])
    for spoken, prompt in (
        (True, spoken_prompt(layout, tokenizer, [7, 8], prefix, ())),
        (False, text_prompt(layout, tokenizer, "what color", prefix, ())),
    ):
        turns = [TokenChunk("user", [7, 8], question), TokenChunk("assistant", [], answer)]
        found = encode_conversation(turns, layout, asked, [spoken, False])
        assert found.ids.tolist() == [*prompt.ids, *answer, layout.eos]
        assert found.loss_mask.sum() == len(answer) + 1


@pytest.mark.parametrize(
    "roles", [[], ["user"], ["assistant"], ["user", "user", "assistant"], ["user", "assistant", "system"], ["tool"]]
)
def test_roles_out_of_order_are_named(roles: list[str]) -> None:
    with pytest.raises(ConversationError, match="user and assistant take turns") as found:
        check_roles(roles)
    assert found.value.reason == "role_order"


def test_a_code_or_an_id_outside_of_the_layout_is_refused() -> None:
    answer = TokenChunk("assistant", [], [1])
    with pytest.raises(ValueError, match=r"no speech code, or one outside 0\.\.19"):
        encode_conversation([TokenChunk("user", [20], []), answer], LAYOUT, PREFIX, [True, False])
    with pytest.raises(ValueError, match=r"no text id, or one outside 0\.\.99"):
        encode_conversation([TokenChunk("user", [], []), answer], LAYOUT, PREFIX, [False, False])


def test_the_coin_of_a_turn_depends_on_its_conversation_alone() -> None:
    chunks = [TokenChunk("user", [1], [1]), TokenChunk("assistant", [], [1])]
    documents = [TokenDocument(f"c{i}", "s", "", "", chunks) for i in range(400)]
    drawn = [spoken_turns(document, 0.8, 0) for document in documents]
    assert 290 < sum(turns[0] for turns in drawn) < 350
    assert not any(turns[1] for turns in drawn)
    assert spoken_turns(documents[7], 0.8, 0) == drawn[7]
    only_sound = TokenDocument("c", "s", "", "", [TokenChunk("user", [1], []), chunks[1]])
    assert spoken_turns(only_sound, 0.0, 0) == [True, False]
    only_text = TokenDocument("c", "s", "", "", [TokenChunk("user", [], [1]), chunks[1]])
    assert spoken_turns(only_text, 1.0, 0) == [False, False]


def placed(count: int) -> list[PlacedConversation]:
    found = []
    for index in range(count):
        rng = stable_rng(0, "test", index)
        codes, ids = rng.integers(0, 20, rng.integers(3, 20)).tolist(), rng.integers(0, 100, 5).tolist()
        turns = [TokenChunk("user", codes, []), TokenChunk("assistant", [], ids)]
        sequence = encode_conversation(turns, LAYOUT, PREFIX, [True, False])
        found.append(PlacedConversation(f"c{index}", "speech.0", "set", sequence))
    return found


def test_each_conversation_is_in_the_rows_once_whole_and_the_order_is_drawn() -> None:
    conversations = placed(60)
    table = pack_conversations(conversations, 64, LAYOUT, seed=0)
    rows = from_table(table, PackedRow)
    by_id = {one.document_id: one.sequence for one in conversations}
    seen: list[str] = []
    for row in rows:
        assert len(row.input_ids) == 64
        for span in row.spans:
            part = slice(span.start, span.start + span.length)
            assert row.input_ids[part] == by_id[span.document_id].ids.tolist()
            assert row.loss_mask[part] == by_id[span.document_id].loss_mask.tolist()
            assert row.position_ids[part] == list(range(span.length))
            seen.append(span.document_id)
        filled = sum(span.length for span in row.spans)
        assert not any(row.loss_mask[filled:])
    assert sorted(seen) == sorted(by_id)
    assert sum(sum(row.loss_mask) for row in rows) == 60 * 6
    other = from_table(pack_conversations(conversations, 64, LAYOUT, seed=1), PackedRow)
    assert [row.spans for row in other] != [row.spans for row in rows]


def test_the_loss_is_on_the_tokens_of_the_answer_and_its_end_alone() -> None:
    found = placed(1)[0].sequence
    assert np.flatnonzero(found.loss_mask).tolist() == list(range(len(found.ids) - 6, len(found.ids)))
