"""Checkpoints that were made elsewhere: taken over whole, proved by their digest, and looked at."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from spelangy_assets import lab
from spelangy_assets.__main__ import main
from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stages import adopt_checkpoint, mix
from spelangy_assets.stages.adopt_checkpoint import CONTRACTS, Checkpoint, Config, folder_digest
from spelangy_assets.stages.speech_tokenizer import SHIPPED_SHA256, checkpoint_digest, shipped_checkpoint
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName, StoreError
from spelangy_assets.store.lineage import connect, published_id, query
from spelangy_assets.store.lineage_queries import CHECKPOINTS_SQL
from spelangy_model.audio.io import encode_flac
from spelangy_model.audio.tts.espeak import EspeakSynthesizer, voices_of
from spelangy_model.records import Audio, Chunk, Metric
from spelangy_model.tokenizer.text import encode_texts, load_text_tokenizer, train_text_tokenizer
from spelangy_model.tokenizer.vocab import Layout

TEXTS = [f"the {word} of the {word} is a {word}, or so they say" for word in ("river", "hill", "town", "sea", "road")]
IDS = 300  # of the foreign tokenizer: 280 of BPE, its <s> and </s>, and a hole of rows that the model has for padding
Adopt = Callable[..., Built]


@pytest.fixture(scope="module")
def foreign_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a causal LM of another vocabulary, with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("made") / "foreign"
    tokenizer = train_text_tokenizer(TEXTS, 280)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=IDS, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.fixture
def foreign(foreign_made: Path, checkpoints: Path) -> Path:
    return Path(shutil.copytree(foreign_made, checkpoints / "foreign"))


@pytest.fixture
def adopt(store: ArtifactStore, execution: Execution, checkpoints: Path) -> Adopt:
    """Adopt a folder of the checkpoints as the node `name`, its text tokenizer before it where it needs one."""

    def run(name: str, holds: adopt_checkpoint.Holds, *above: Node, sha256: str = "", **more: Any) -> Built:
        folder = more.pop("folder", "foreign")
        there = checkpoints / folder
        checkpoint = Checkpoint(
            name=folder, licence="MIT", sha256=sha256 or (folder_digest(there) if there.is_dir() else "")
        )
        contract, inputs = {
            "text_tokenizer": (contracts.FILES, {}),
            "language_model": (CONTRACTS["language_model"], {"text_tokenizer": "text_tokenizer"}),
            "speech_tokenizer": (contracts.SPEECH_TOKENIZER, {"tokenizer_speech": "tokenizer_speech"}),
        }[holds]
        node = Node(
            name=name,
            group="g",
            description="",
            stage=adopt_checkpoint,
            config=Config(holds, checkpoint),
            contract=contract,
            inputs=inputs,
        )
        nodes = [*above, node]
        if holds == "language_model" and not above:
            tokenizer = replace(
                node, name="text_tokenizer", config=Config("text_tokenizer", checkpoint), contract=contracts.FILES,
                inputs={},
            )  # fmt: skip
            nodes = [tokenizer, node]
        there_too = replace(execution, checkpoints=checkpoints)
        return [build(store, Graph("recipe", nodes), one, None, there_too) for one in nodes][-1]

    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    from safetensors.torch import save_file

    tensors = weights(folder)
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def folder_of(built: Built, tmp_path: Path) -> Path:
    return built.artifact.local_folder(tmp_path / "cache")


def test_a_language_model_gets_the_markers_and_keeps_all_that_it_knew(foreign: Path, adopt: Adopt, tmp_path: Path):
    built = adopt("base_lm", "language_model")
    assert not [item for item in built.verdict.failures() if item.severity == "block"]
    made = folder_of(built, tmp_path)
    layout = Layout.load(made)
    assert layout == Layout(text_size=282, codebook_size=0)
    before, after = weights(foreign), weights(made)
    for name in before:
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            assert after[name].shape[0] == layout.size == 287
            assert torch.equal(after[name][:282], before[name][:282])
            assert torch.equal(after[name][layout.bos], before[name][280]), "<bos> starts as its own <s>"
            assert torch.equal(after[name][layout.eos], before[name][281])
            assert after[name][layout.speech_start].std() > 0
        else:
            assert torch.equal(after[name], before[name])
    stats = built.artifact.manifest.counts.stats
    assert stats["parameters"] == sum(tensor.numel() for tensor in after.values())
    assert stats["plain_english_nats"] == pytest.approx(stats["uniform_nats"], rel=0.1)  # it knows nothing, and warns
    assert any("share_of_uniform" in item.name for item in built.verdict.expectations if not item.success)


def test_the_tokenizer_of_a_checkpoint_gives_the_same_ids_and_the_same_layout(
    foreign: Path, adopt: Adopt, store: ArtifactStore, tmp_path: Path
):
    model = adopt("base_lm", "language_model")
    tokenizer = store.resolve(DatasetName("recipe", "text_tokenizer"))
    assert mix.layout_of(tokenizer, None) == Layout.load(folder_of(model, tmp_path))
    own = load_text_tokenizer(tokenizer.local_folder(tmp_path / "cache"))
    assert encode_texts(own, TEXTS) == encode_texts(load_text_tokenizer(foreign), TEXTS)


def test_a_model_of_this_project_is_taken_as_it_is_and_its_tokenizer_without_the_markers(
    foreign: Path, adopt: Adopt, store: ArtifactStore, tmp_path: Path, checkpoints: Path
):
    first = adopt("base_lm", "language_model")
    before = store.resolve(DatasetName("recipe", "text_tokenizer"))
    made = folder_of(first, tmp_path)
    shutil.copytree(made, checkpoints / "own")  # as it lies in a store
    shutil.rmtree(foreign)
    again = adopt("base_lm", "language_model", folder="own")
    names = {path.name for path in adopt_checkpoint.taken_files(made)}
    assert "vocabulary_layout.json" in names
    assert not names & {"manifest.json", "unit-00000.json"} and not any(one.startswith("verdict-") for one in names)
    for path in adopt_checkpoint.taken_files(made):
        assert again.artifact.read_file(path.name) == path.read_bytes(), path.name
    after = store.resolve(DatasetName("recipe", "text_tokenizer"))
    assert after.manifest.config != before.manifest.config
    assert mix.layout_of(after, None) == mix.layout_of(before, None)


def test_what_stands_on_a_model_made_elsewhere_says_so(foreign: Path, adopt: Adopt, store: ArtifactStore):
    adopt("base_lm", "language_model")
    with connect(store, "recipe") as connection:
        base = published_id(store, DatasetName("recipe", "base_lm"))
        rows = query(connection, CHECKPOINTS_SQL, artifact=base)
    stated = {"name": "foreign", "sha256": folder_digest(foreign), "licence": "MIT", "url": ""}
    assert [{name: row[name] for name in stated} for row in rows] == [stated, stated]
    assert {row["holds"] for row in rows} == {"language_model", "text_tokenizer"}


def test_another_text_tokenizer_than_the_recipe_s_is_refused_with_the_cure(
    foreign: Path, adopt: Adopt, store: ArtifactStore, checkpoints: Path
):
    shutil.copytree(foreign, checkpoints / "other")
    train_text_tokenizer([text.upper() for text in TEXTS], 280).save(str(checkpoints / "other" / "tokenizer.json"))
    other = Node(
        name="text_tokenizer",
        group="g",
        description="",
        stage=adopt_checkpoint,
        config=Config(
            "text_tokenizer", Checkpoint(name="other", sha256=folder_digest(checkpoints / "other"), licence="")
        ),
        contract=contracts.FILES,
    )
    with pytest.raises(InputError, match=r"another text tokenizer.*let the recipe adopt that one"):
        adopt("base_lm", "language_model", other)


def no_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def own_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "theirs.Model"}}))


def own_tokenizer_code(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["auto_map"] = {"AutoTokenizer": ["theirs.Tokenizer", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def decoy(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "decoy.safetensors")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def weights_outside(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    index = {"metadata": {}, "weight_map": {"model.norm.weight": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def unigram(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}))


def marked(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"][0]["content"] = "<pad>"
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (no_pickle, "only pytorch_model.bin, and no pickle is opened: save it again as safetensors"),
        (own_code, "needs code of its own, which is never run"),
        (own_tokenizer_code, "needs code of its own, which is never run.*tokenizer_config.json"),
        (decoy, r"only pytorch_model\.bin beside decoy\.safetensors.*no pickle is opened"),
        (weights_outside, r"index\.json names '\.\./model\.safetensors', which is no file of safetensors beside it"),
        (no_tokenizer, "tokenizer.json cannot be read .*: save the whole checkpoint, tokenizer too"),
        (unigram, "is no BPE, WordPiece or WordLevel"),
        (marked, "has tokens of its own called <pad>"),
        (shutil.rmtree, "neither a folder in .*SPELANGY_CHECKPOINTS.*hf download foreign"),
    ],
)
def test_a_folder_that_cannot_be_taken_says_why(
    foreign: Path, execution: Execution, checkpoints: Path, harm: Callable[[Path], None], words: str
):
    config = Config("language_model", Checkpoint(name="foreign", sha256="0", licence="MIT"))
    harm(foreign)
    with pytest.raises(PreflightError, match=words):
        adopt_checkpoint.preflight(config, replace(execution, checkpoints=checkpoints))


def test_only_the_content_of_a_checkpoint_counts_not_its_path(foreign: Path, adopt: Adopt, tmp_path: Path):
    digest = folder_digest(foreign)
    first = adopt("base_lm", "language_model")
    (foreign / "README.md").write_text("what people read is not what is loaded")
    moved = tmp_path / "elsewhere"
    foreign.rename(moved)
    foreign.symlink_to(moved, target_is_directory=True)
    assert folder_digest(foreign) == digest
    assert adopt("base_lm", "language_model").cached
    change(moved, lambda tensors: tensors["model.norm.weight"].mul_(2))
    with pytest.raises(PreflightError, match=f"has the digest {folder_digest(moved)}, the recipe asks for {'0' * 64}"):
        adopt("base_lm", "language_model", sha256="0" * 64)
    second = adopt("base_lm", "language_model")
    assert not second.cached
    assert second.artifact.data_version != first.artifact.data_version


def test_nothing_is_loaded_that_the_digest_does_not_cover(foreign: Path, adopt: Adopt, tmp_path: Path):
    digest = folder_digest(foreign)
    plain = folder_of(adopt("base_lm", "language_model"), tmp_path)
    before = {path.name: path.read_bytes() for path in adopt_checkpoint.taken_files(plain)}
    shutil.rmtree(plain)
    (foreign / "pytorch_model.bin").write_bytes(b"another model")
    (foreign / "tokenizer.py").write_text("raise SystemExit")
    (foreign / "additional_chat_templates").mkdir()
    (foreign / "additional_chat_templates" / "default.jinja").write_text("another template")
    assert folder_digest(foreign) == digest
    seen: list[list[str]] = []

    def widen(folder: Path, *more: Any) -> Layout:
        seen.append(sorted(path.name for path in folder.rglob("*")))
        return widen_before(folder, *more)

    from spelangy_model.lm import adopted

    widen_before = adopted.widen
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adopted, "widen", widen)
        again = adopt("other_lm", "language_model")
    assert seen == [[path.name for path in adopt_checkpoint.taken_files(foreign)]]
    made = folder_of(again, tmp_path)
    assert {path.name: path.read_bytes() for path in adopt_checkpoint.taken_files(made)} == before


NAMES_THAT_LEAVE = ["../../x", "..", "/x", "x/../../y", "a//b", ".x", "x/", "", "_", "x/_", "a\\b", "a\nb", "a\0b"]


@pytest.mark.parametrize("name", NAMES_THAT_LEAVE)
def test_a_name_does_not_leave_the_folder_of_checkpoints(
    foreign: Path, execution: Execution, checkpoints: Path, tmp_path: Path, name: str
):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PreflightError, match="cannot name a checkpoint"):
        adopt_checkpoint.offer(foreign, name, checkpoints)
    config = Config("language_model", Checkpoint(name=name, sha256="0", licence="MIT"))
    with pytest.raises(PreflightError, match="cannot name a checkpoint"):
        adopt_checkpoint.preflight(config, replace(execution, checkpoints=checkpoints))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_checkpoint_is_named_as_on_the_hub(foreign: Path, checkpoints: Path):
    adopt_checkpoint.offer(foreign, "owner/model-1.5", checkpoints)
    assert (checkpoints / "owner" / "model-1.5").resolve() == foreign.resolve()


def test_a_model_with_weights_that_are_no_numbers_is_stopped(foreign: Path, adopt: Adopt, store: ArtifactStore):
    change(foreign, lambda tensors: tensors["model.norm.weight"][:3].fill_(float("nan")))
    built = adopt("base_lm", "language_model")
    assert [item.name for item in built.verdict.failures() if item.severity == "block"] == [
        "nonfinite_parameters in [0, 0]",
        "finite_losses in [1, 1]",
    ]
    with pytest.raises(StoreError):
        store.resolve(DatasetName("recipe", "base_lm"))


def test_weights_that_are_missing_are_not_made_up(foreign: Path, adopt: Adopt):
    change(foreign, lambda tensors: tensors.pop("model.layers.0.mlp.up_proj.weight"))
    with pytest.raises(InputError, match=r"lacks 1 weights, model\.layers\.0\.mlp\.up_proj\.weight"):
        adopt("base_lm", "language_model")


def test_a_killed_run_goes_on_at_its_first_missing_file(foreign: Path, adopt: Adopt, monkeypatch: pytest.MonkeyPatch):
    from spelangy_model.lm import adopted

    widen, calls = adopted.widen, []

    def counted(*arguments: Any) -> Layout:
        calls.append("widen")
        return widen(*arguments)

    def killed(*arguments: Any) -> None:
        calls.append("probe")
        raise KeyboardInterrupt

    monkeypatch.setattr(adopted, "widen", counted)
    monkeypatch.setattr(adopted, "probe", killed)
    with pytest.raises(KeyboardInterrupt):
        adopt("base_lm", "language_model")
    monkeypatch.undo()
    monkeypatch.setattr(adopted, "widen", counted)
    built = adopt("base_lm", "language_model")
    assert calls == ["widen", "probe"], "the widened model of the first run is still there"
    assert built.artifact.manifest.units == 1 + len(
        [shard for shard in built.artifact.manifest.shards if not shard.table]
    )


def write_speech(ctx: StageContext, config: Any) -> None:
    synthesizer, voice = EspeakSynthesizer(), voices_of(("en-us",))[0]
    for unit, _ in ctx.out.pending([0]):
        with ctx.out.unit(unit) as out:
            for number, text in enumerate(TEXTS):
                sound = encode_flac(synthesizer.speak(text, voice))
                out.write(
                    "chunks",
                    [
                        Chunk(
                            f"c{number}",
                            f"d{number}",
                            0,
                            "speech",
                            "",
                            "",
                            "",
                            "",
                            "",
                            0,
                            3,
                            text,
                            text,
                            Audio(sound, ""),
                        )
                    ],
                )


def test_a_speech_tokenizer_is_measured_on_the_recipe_s_speech(adopt: Adopt, toys: Any, checkpoints: Path):
    (checkpoints / "spoken").mkdir()
    for name, data in shipped_checkpoint(SHIPPED_SHA256).items():
        (checkpoints / "spoken" / name).write_bytes(data)
    speech = toys.node(
        "tokenizer_speech", stage=toys.make_stage(write_speech, {"chunks": Chunk}), config=toys.NoConfig(),
        contract=contracts.CHUNKS,
    )  # fmt: skip
    built = adopt("speech_tokenizer", "speech_tokenizer", speech, folder="spoken")
    files = {name: built.artifact.read_file(name) for name in ("config.json", "model.safetensors")}
    assert checkpoint_digest(files) == SHIPPED_SHA256
    measured = {metric.metric: metric.value for metric in built.artifact.records("metrics", Metric)}
    assert 0 < measured["codebook.used_share"] < 1
    assert built.artifact.manifest.counts.stats["reading_heads"] == 1


def test_the_command_says_what_a_recipe_has_to_say(
    foreign_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SPELANGY_CHECKPOINTS", str(tmp_path / "there"))
    assert main(["checkpoint", str(foreign_made), "--name", "ours"]) == 0
    printed = eval(capsys.readouterr().out, {"lab": lab})
    assert isinstance(printed, Checkpoint)
    assert (printed.name, printed.sha256) == ("ours", folder_digest(foreign_made))
    assert (tmp_path / "there" / "ours").resolve() == foreign_made.resolve()
    (tmp_path / "empty").mkdir()
    assert main(["checkpoint", str(tmp_path / "empty")]) == 2
    assert "cannot be adopted" in capsys.readouterr().err
    own = tmp_path / "ours"
    shutil.copytree(foreign_made, own)
    assert main(["checkpoint", str(own)]) == 2
    assert re.search(r"'ours' is .* already: choose another name", capsys.readouterr().err)
