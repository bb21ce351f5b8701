"""The file that shows how people write code with sdclient leaves no public name out."""

from __future__ import annotations

import ast
from pathlib import Path

import sdclient

SHOWN = Path(__file__).parents[1] / "typing" / "api.py"


def test_every_public_name_is_shown_in_use() -> None:
    tree = ast.parse(SHOWN.read_text(encoding="utf-8"))

    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}

    assert used >= set(sdclient.__all__)
