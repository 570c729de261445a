"""The page of commands is what the commands print."""

import runpy
from pathlib import Path


def test_the_page_of_commands_is_what_they_print(project_dir: Path) -> None:
    tool = runpy.run_path(str(project_dir / "tools" / "list_commands.py"))
    page = (project_dir / "docs" / "commands.md").read_text()
    assert page == tool["page"](), "python tools/list_commands.py > docs/commands.md"
    assert page.count("\n## ") > 15
