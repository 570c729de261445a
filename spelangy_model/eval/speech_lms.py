"""External SpeechLMs, by name or path: the likelihood of each option after a spoken question.

Put here: audio-text models of transformers with an audio processor (Qwen2-Audio, Voxtral and similar ones).
Do not put here: models of this project, whose speech is tokens (multiple_choice.py).

Weights come from a folder or from the local Hugging Face cache, never from a network. The prompt ends where the answer
begins; an option's ids are those that its text adds to the prompt's. The model processes the prompt, audio included,
once; every option continues from its cache.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.eval.systems import Answered, Asked, LoadedSystem, SystemUnavailable
from spelangy_model.guarded_json import read_json_object
from spelangy_model.hub import ModelMissing, local_model
from spelangy_model.pretrained import CheckpointRefused, check_settings, load_settings, load_weights, weight_files

if TYPE_CHECKING:
    from spelangy_model.eval.generate import GeneratedText


@dataclass(frozen=True)
class SpeechLM:
    """The configuration of a model in a recipe. `model` is a folder or a name of the hub.

    `prompt` is "text" for models that read one text with their processor's audio tokens inside, as Qwen2-Audio's base
    model does, and "chat" for models with a chat template, such as Voxtral and instruct models; the answer then begins
    with `answer_prefix`. `precision` is float32 or bfloat16.
    """

    model: str
    prompt: Literal["text", "chat"] = "chat"
    answer_prefix: str = "The answer is"
    precision: Literal["float32", "bfloat16"] = "bfloat16"

    @property
    def reads_text_lm(self) -> bool:
        return False

    @property
    def generates(self) -> bool:
        return True

    def check(self, cache_dir: Path, device: str) -> None:
        """Raise SystemUnavailable when weights, or a package that their processor needs, are missing or refused."""
        import importlib.util

        try:
            folder = local_model(self.model)
        except ModelMissing as error:
            raise SystemUnavailable(str(error)) from error
        path = folder / "config.json"
        kind = read_json_object(path).get("model_type", "") if path.is_file() else ""
        if not kind:
            raise SystemUnavailable(f"{folder} holds no transformers model: its config.json names no model_type")
        if kind == "voxtral" and importlib.util.find_spec("mistral_common") is None:
            raise SystemUnavailable(f"{self.model}: its tokenizer needs a package: pip install 'mistral-common[audio]'")
        try:
            check_settings(folder)
            weight_files(folder)
        except CheckpointRefused as error:
            raise SystemUnavailable(str(error)) from error

    def load(self, cache_dir: Path, device: str, text_lm: Path | None) -> LoadedSystem:
        return _LoadedSpeechLM(self, local_model(self.model), device)


class _LoadedSpeechLM:
    def __init__(self, literals: SpeechLM, folder: Path, device: str):
        import torch
        from transformers import AutoConfig, AutoModelForMultimodalLM, AutoProcessor
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # a log is no terminal
        self._literals = literals
        self._processor: Any = load_settings(AutoProcessor, folder)
        config = load_settings(AutoConfig, folder)
        model: Any = load_weights(
            AutoModelForMultimodalLM, folder, config=config, dtype=getattr(torch, literals.precision)
        )
        self._model = model.to(device).eval()

    def answer(self, asked: Sequence[Asked]) -> list[Answered]:
        from spelangy_model.eval.multiple_choice import OptionScores

        answers = []
        for question in asked:
            ids = [self._option_ids(option) for option in question.options]
            raw = option_log_likelihoods(self._model, self._inputs(question.samples), ids)
            per_token = [score / len(option) for score, option in zip(raw, ids, strict=True)]
            per_character = [score / len(option) for score, option in zip(raw, question.options, strict=True)]
            answers.append(Answered(OptionScores(raw, per_token, per_character)))
        return answers

    def generate(self, asked: Sequence[Asked], max_answer_tokens: int) -> list[GeneratedText]:
        """Answer one question after the other."""
        from spelangy_model.eval.generate import as_answer, greedy

        tokenizer = self._processor.tokenizer
        ends = self._ends()
        answers = []
        for question in asked:
            inputs = self._inputs(question.samples)

            def step(ids: Any, mask: Any, positions: Any, cache: Any, inputs: dict[str, Any] = inputs) -> Any:
                first = cache is None
                given = inputs if first else {"input_ids": ids, "attention_mask": mask, "past_key_values": cache}
                out = self._model(**given, use_cache=True)
                return out.logits[:, -1].float(), out.past_key_values

            prompt = inputs["input_ids"][0].tolist()
            (ids,) = greedy(step, [prompt], 0, ends, max_answer_tokens, self._model.device)
            written = tokenizer.decode(ids, skip_special_tokens=True)
            answers.append(as_answer(self._literals.answer_prefix, written, len(ids), bool(ids) and ids[-1] in ends))
        return answers

    def _ends(self) -> frozenset[int]:
        """Return the ids that end what the model writes."""
        stated = self._model.generation_config.eos_token_id if self._model.generation_config else None
        several = stated if isinstance(stated, list) else [stated, self._processor.tokenizer.eos_token_id]
        return frozenset(int(token) for token in several if token is not None)

    def _option_ids(self, option: str) -> list[int]:
        """Return what the option adds to a text that ends in the answer prefix."""
        tokenizer, prefix = self._processor.tokenizer, self._literals.answer_prefix
        before = self._text_ids(tokenizer, prefix)
        whole = self._text_ids(tokenizer, f"{prefix} {option}")
        if whole[: len(before)] != before or len(whole) == len(before):
            raise ValueError(f"{option!r} changes the ids of {prefix!r} before it: choose another answer_prefix")
        return whole[len(before) :]

    @staticmethod
    def _text_ids(tokenizer: Any, text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    def _inputs(self, samples: np.ndarray) -> dict[str, Any]:
        """Return the model's inputs of one question, up to the answer."""
        import torch

        processor, model = self._processor, self._model
        if self._literals.prompt == "text":
            marks = (processor.audio_bos_token, processor.audio_token, processor.audio_eos_token)
            text = "".join(marks) + self._literals.answer_prefix
            inputs = dict(processor(text=text, audio=samples, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt"))
        else:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "question.wav"
                _write_wav(path, samples)
                content = [{"type": "audio", "path": str(path)}]
                inputs = dict(
                    processor.apply_chat_template(
                        [{"role": "user", "content": content}],
                        add_generation_prompt=True,
                        tokenize=True,
                        return_dict=True,
                        return_tensors="pt",
                    )
                )
            ids = torch.tensor([self._text_ids(processor.tokenizer, self._literals.answer_prefix)])
            inputs["input_ids"] = torch.cat([inputs["input_ids"], ids], 1)
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        return {
            name: value.to(model.device, model.dtype if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
        }


def option_log_likelihoods(model: Any, inputs: Mapping[str, Any], options: Sequence[Sequence[int]]) -> list[float]:
    """Return the natural log-likelihood of each option's ids after the prompt in `inputs`, which is of one question.

    The model processes the prompt once. The result equals one forward pass per option, up to floating-point rounding.
    """
    import torch

    with torch.inference_mode():
        out = model(**inputs, use_cache=True)
        after_prompt = out.logits[0, -1].float().log_softmax(-1).cpu()
        length, device = inputs["input_ids"].shape[1], inputs["input_ids"].device
        likelihoods = []
        for ids in options:
            total = float(after_prompt[ids[0]])
            if len(ids) > 1:
                more = model(
                    input_ids=torch.tensor([list(ids[:-1])], device=device),
                    attention_mask=torch.ones(1, length + len(ids) - 1, dtype=torch.int64, device=device),
                    past_key_values=out.past_key_values,
                    use_cache=True,
                )
                log_probs = more.logits[0].float().log_softmax(-1).cpu()
                total += float(log_probs[range(len(ids) - 1), list(ids[1:])].double().sum())
                out.past_key_values.crop(1 - len(ids))  # the next option continues the prompt alone
            likelihoods.append(total)
    return likelihoods


def _write_wav(path: Path, samples: np.ndarray) -> None:
    import soundfile

    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
