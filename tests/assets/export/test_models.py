"""An exported run is served elsewhere as it is asked here: prompts, ends of answers, speech."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from jinja2 import TemplateError

from spelangy_assets.access import Store
from spelangy_assets.export.models import write_model
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.files import Files
from spelangy_assets.store.selection import select
from spelangy_model.eval.answers import first_answer
from spelangy_model.eval.serving import serving_files

QUESTION = "What is number 3?"
IN_A_FRESH_PROCESS = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline
folder, *messages = sys.argv[1:]
model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
found = []
for message in messages:
    chat = [{"role": "user", "content": message}]
    asked = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**asked)[0][asked["input_ids"].shape[1]:]
    found.append(tokenizer.decode(written, skip_special_tokens=True))
whole = pipeline("text-generation", model=folder)([{"role": "user", "content": messages[0]}])
assert whole[0]["generated_text"][-1]["content"] == found[0]
assert not [name for name in sys.modules if name.startswith("spelangy")]
print(json.dumps(found))
"""


@pytest.fixture
def exported(trained: ArtifactStore, tmp_path: Path) -> Path:
    folder = tmp_path / "exported"
    write_model(trained, select(trained, "run", "recipe"), Files(folder))
    return folder


def test_an_export_holds_what_servers_read_and_no_pickle(exported: Path) -> None:
    names = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    assert names == {
        *("config.json", "model.safetensors", "generation_config.json", "vocabulary_layout.json", "README.md"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "answer_format.json"),
        *("speech_tokenizer/config.json", "speech_tokenizer/model.safetensors", "speech_tokenizer/README.md"),
    }
    config = json.loads((exported / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"] and "auto_map" not in config
    card = (exported / "README.md").read_text()
    assert "pipeline_tag: text-generation" in card
    assert "spelangy ask ./FOLDER question.wav" in card


@pytest.mark.slow
def test_plain_transformers_answers_as_this_project_does(
    exported: Path, trained: ArtifactStore, tmp_path: Path
) -> None:
    sound = (0.3 * np.sin(np.arange(20_000) ** 1.2 / 9)).astype(np.float32)
    model = Store(trained, "recipe").model("run")
    asked = [QUESTION, "Who?", sound]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS, str(exported), *map(model.as_message, asked)],
        cwd=tmp_path,
        env={**environment, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    answers = [first_answer(model.answer_prefix, text) for text in json.loads(ended.stdout)]
    assert answers == [model.ask(one).answer.text for one in asked]
    assert all(answers)


def test_an_export_is_asked_in_speech_with_this_package(exported: Path, trained: ArtifactStore, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "question.wav", 0.3 * np.sin(np.arange(20_000) ** 1.2 / 9), 16_000)
    answers = []
    for name in ("run", str(exported)):
        model = Store(trained, "recipe").model(name)
        answers.append(model.ask(model.read(tmp_path / "question.wav")).answer)
    assert answers[0] == answers[1]


def test_the_prefix_of_an_answer_comes_with_the_folder(
    exported: Path, trained: ArtifactStore, model_folder: Path
) -> None:
    store = Store(trained, "recipe")
    assert store.model(str(exported)).answer_prefix == "The answer is"
    written = serving_files(model_folder, "Assistant:", 32)
    for name, data in written.items():
        (exported / name).write_bytes(data)
    assert store.model(str(exported)).answer_prefix == "Assistant:"
    assert store.model(str(exported), answer_prefix="It is").answer_prefix == "It is"
    (exported / "answer_format.json").write_text("[")
    with pytest.raises(ValueError, match=r"answer_format\.json cannot be read"):
        store.model(str(exported))


def test_the_template_takes_one_message_of_a_user(exported: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(exported)
    question, answer = ({"role": role, "content": "Who?"} for role in ("user", "assistant"))
    assert tokenizer.apply_chat_template([question], tokenize=False) == "<bos> Who?"
    for chat in ([question, answer], [answer]):
        with pytest.raises(TemplateError, match="one message of the role user"):
            tokenizer.apply_chat_template(chat, tokenize=False)


def test_a_tokenizer_that_writes_a_chat_otherwise_is_refused(model_folder: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, normalizers

    folder = tmp_path / "model"
    folder.mkdir()
    for path in model_folder.iterdir():
        (folder / path.name).symlink_to(path)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Prepend("_")
    (folder / "tokenizer.json").unlink()
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(ValueError, match="it cannot be served"):
        serving_files(folder, "The answer is", 32)
