"""Writes docs/commands.md: the help of every command, as the command prints it.

python tools/list_commands.py > docs/commands.md
"""

from __future__ import annotations

from typer.testing import CliRunner

from spelangy_assets.cli.main import app

WIDTH = 110
HEAD = """# Commands

Every command of `spelangy`, as `spelangy COMMAND --help` prints it; written by `tools/list_commands.py`. RECIPE is the name
of a recipe (`spelangy recipes` lists them), or a file of your own: `experiment.py`, or `experiment.py:NAME` where the file
holds several. Where a command takes `--recipe`, the default is `sample`. [Settings](settings.md) come from the environment.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | the command ran, and something is not as it should be: a dataset failed, is out of date or is damaged |
| 2 | a mistake in the call, a recipe, a setting or the data: one line names it and the cure |
| 130, 143 | interrupted (Ctrl-C, SIGTERM); the next `run` continues at the first missing shard |
"""


def page() -> str:
    """Return the page."""
    runner = CliRunner(env={"COLUMNS": str(WIDTH), "TERMINAL_WIDTH": str(WIDTH)})
    parts = [HEAD]
    for command in app.registered_commands:
        assert command.callback is not None
        if not command.hidden:
            name = command.name or command.callback.__name__.replace("_", "-")
            said = runner.invoke(app, [name, "--help"], prog_name="spelangy", catch_exceptions=False).stdout
            parts += [f"## {name}", "", "```", said.strip(), "```", ""]
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    print(page(), end="")
