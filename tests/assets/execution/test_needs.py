"""What a recipe misses is one list: every thing once, with what is known of it."""

from types import SimpleNamespace
from typing import Any

from spelangy_assets.execution.needs import needs_lines, needs_of
from spelangy_assets.execution.stage import PreflightError


def node(toys: Any, name: str, units: tuple[tuple[float, ...], ...], *missing: str, asked: list[str]) -> Any:
    def preflight(config: Any, execution: Any) -> None:
        asked.append(name)
        if missing:
            raise PreflightError(*missing)

    stage = SimpleNamespace(__name__=f"stage_of_{name.rstrip('0123456789')}", preflight=preflight)
    return SimpleNamespace(name=name, stage=stage, config=toys.Config(units=units))


def test_all_that_is_missing_is_named_at_once_with_size_licence_gate_and_command(toys, execution):
    asked: list[str] = []
    whisper = "the model 'Systran/faster-whisper-large-v3' is not here; get it once"
    llama = "the model 'meta-llama/Llama-3.2-3B' is not here"
    nodes = [
        node(toys, "words", ((1.0,),), whisper, "SPELANGY_LLM_BASE_URL is not set", asked=asked),
        node(toys, "trip", ((2.0,),), whisper, asked=asked),
        node(toys, "skill1", ((3.0,),), llama, asked=asked),
        node(toys, "skill2", ((3.0,),), llama, asked=asked),  # the same stage and config: asked once
        node(toys, "fine", ((4.0,),), asked=asked),
    ]
    needs = needs_of(nodes, execution)
    assert asked == ["words", "trip", "skill1", "fine"]
    assert [(need.what, need.datasets) for need in needs] == [
        (whisper, ("words", "trip")),
        ("SPELANGY_LLM_BASE_URL is not set", ("words",)),
        (llama, ("skill1", "skill2")),
    ]
    text = "\n".join(needs_lines(needs))
    assert "3 things are missing, about 9.5 GB where a size is known:" in text
    assert "Systran/faster-whisper-large-v3: about 3.1 GB, licence MIT" in text
    assert "gate: accept its terms at https://huggingface.co/meta-llama/Llama-3.2-3B, then: hf auth login" in text
    assert "get it: hf download Systran/faster-whisper-large-v3" in text
    assert needs[2].as_json()["known"]["meta-llama/Llama-3.2-3B"]["licence"] == "Llama 3.2 Community License"
    assert needs_lines([]) == []
