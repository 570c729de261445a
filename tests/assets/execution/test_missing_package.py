"""What a run says of a package that is not installed: one line, which names the extra or the package to install."""

import sys
from typing import Any

import pytest

from spelangy_assets.cli import main as command_line
from spelangy_assets.execution.stage import PreflightError, StageContext
from spelangy_assets.store.artifacts import ArtifactStore


def import_what_is_missing(ctx: StageContext, config: Any) -> None:
    import pocketsphinx  # noqa: F401


def import_own_module_that_is_gone(ctx: StageContext, config: Any) -> None:
    import spelangy_model.no_such_module  # noqa: F401


def test_a_stage_without_its_package_says_what_to_install(
    store: ArtifactStore, toys: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    node = toys.node(stage=toys.make_stage(import_what_is_missing))
    with pytest.raises(PreflightError, match=r"recipe/source: the package pocketsphinx is not installed: pip install "):
        toys.build(store, node)


def test_a_module_of_our_own_that_is_missing_is_a_mistake_in_the_code(store: ArtifactStore, toys: Any):
    with pytest.raises(ModuleNotFoundError):
        toys.build(store, toys.node(stage=toys.make_stage(import_own_module_that_is_gone)))


def test_a_command_without_its_package_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delitem(sys.modules, "spelangy_assets.cli.ui", raising=False)
    monkeypatch.delitem(sys.modules, "spelangy_assets.cli.web_server", raising=False)
    monkeypatch.setitem(sys.modules, "dagster_webserver", None)
    monkeypatch.setitem(sys.modules, "dagster_webserver.cli", None)
    assert command_line.main(["ui"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("spelangy: the package dagster-webserver is not installed: pip install ")
    assert printed.count("\n") == 1
