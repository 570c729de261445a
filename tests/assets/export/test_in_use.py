"""What a user does with it: the example notebook runs, and `load_dataset` plays the sound of an exported folder."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.export.write import write_dataset
from spelangy_assets.store.files import Files
from spelangy_assets.store.selection import select
from spelangy_model.audio.io import decode_flac


@pytest.mark.slow
def test_the_notebook_runs_and_shows_players_and_plots(small: Any, project_dir: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(project_dir / "examples" / "look_at_chunks.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it lies in the repository without what it printed"
    opening = next(cell for cell in notebook.cells if cell.id == "open")
    assert 'DATASET = "sample/web_fine"' in opening.source
    opening.source = opening.source.replace("sample/web_fine", "small/web_fine")
    environment = {
        "PYTHONPATH": os.pathsep.join([str(project_dir), os.environ.get("PYTHONPATH", "")]),
        "SPELANGY_HOME": str(small.settings.home),
        "SPELANGY_STORE": "",
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "MPLCONFIGDIR": str(tmp_path / "matplotlib"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    assert shown["open"][0].data["text/plain"] == "<small/web_fine: 6 chunks>"
    assert 'src="data:audio/flac;base64,' in shown["player"][0].data["text/html"]
    assert all(any("image/png" in one.get("data", {}) for one in shown[name]) for name in ("wave", "lengths"))
    assert shown["datasets"][-1].data["text/plain"] == "(8000,)"
    assert shown["torch"][-1].data["text/plain"].count("(8000,)") == 2
    (version,) = select(small.store, "web_fine", "small").versions
    assert version.data_version in shown["versions"][0].data["text/plain"]


PLAY = """
import json, sys
from datasets import load_dataset
rows = load_dataset(sys.argv[1], split="train", cache_dir=sys.argv[2])
print(json.dumps([[row["audio"].get_all_samples().sample_rate, row["audio"]["array"].tolist()] for row in rows]))
"""


@pytest.mark.slow
def test_load_dataset_plays_the_sound(small: Any, tmp_path: Path) -> None:
    """With torchcodec, as `datasets` does it; the libraries of ffmpeg that it asks for are those that PyAV carries."""
    if importlib.util.find_spec("torchcodec") is None:
        pytest.skip("torchcodec (the extra `dev`) is missing")
    import av

    libraries = Path(av.__file__).parents[1] / "av.libs"
    links = tmp_path / "ffmpeg"
    links.mkdir()
    for library in libraries.glob("*.so*"):
        # libavcodec-5e6b81c2.so.62.28.102 is libavcodec.so.62 to what links with it; PyAV's own ask by the long name
        for name in {library.name, re.sub(r"-[0-9a-f]+\.so\.(\d+).*", r".so.\1", library.name)}:
            (links / name).symlink_to(library)
    selection = select(small.store, "web_fine", "small")
    write_dataset(small.store, selection, "hf", Files(tmp_path / "out"))
    done = subprocess.run(
        [sys.executable, "-c", PLAY, str(tmp_path / "out"), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LD_LIBRARY_PATH": str(links), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    played = json.loads(done.stdout)
    sounds = [row["audio"]["bytes"] for _, shard in selection.shards() for row in shard.table(["audio"]).to_pylist()]
    assert [rate for rate, _ in played] == [16_000] * 6
    assert [samples for _, samples in played] == [decode_flac(sound).tolist() for sound in sounds]
