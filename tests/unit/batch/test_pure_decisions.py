"""What the batch decides by is pure: clock, files and chance are handed in, so that tests can play them all."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sdclient.batch

FOLDER = Path(sdclient.batch.__file__).parent
DECISIONS = ("claims", "survey", "health", "verdict", "changed", "plan", "record", "rounds", "follow")
WORLD = {
    "asyncio", "datetime", "glob", "io", "os", "secrets", "shutil", "socket", "subprocess", "tempfile", "threading",
    "time", "uuid", "psutil",
}  # fmt: skip
TOUCHES = {"open", "read_bytes", "read_text", "write_bytes", "write_text", "iterdir", "glob", "rglob", "stat", "exists"}


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_knows_no_clock_no_files_and_no_chance(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    imported: set[str] = set()
    called: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call):
            function = node.func
            called.add(function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", ""))
            # `random.Random` as a type is what is handed in; the module's own dice are not.
            is_of_random = isinstance(function, ast.Attribute) and ast.unparse(function.value) == "random"
            assert not is_of_random, ast.unparse(node)

    assert imported & WORLD == set()
    assert called & TOUCHES == set()
