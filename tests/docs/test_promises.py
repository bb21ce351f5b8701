"""The lists of promises name tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTS = sorted((ROOT / "tests" / "promises").glob("*.md"))
_NAME = re.compile(r"`(tests/[\w/-]+\.py)?((?:::\w+)*)`")


def named(text: str) -> list[tuple[str, str]]:
    """Return the files and the names in them; a name alone is one of the file before it."""
    found, file = [], ""
    for match in _NAME.finditer(text):
        file = match[1] or file
        found.append((file, match[2].removeprefix("::")))
    return found


def there(file: Path) -> set[str]:
    """Return the names of all tests and their classes in a file."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names.update(f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef))
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.add(node.name)
    return names


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_test_that_a_list_names_exists(path: Path) -> None:
    pairs = named(path.read_text(encoding="utf-8"))

    missing = [
        f"{file}::{name}"
        for file, name in pairs
        if not (ROOT / file).is_file() or (name and name not in there(ROOT / file))
    ]

    assert len(pairs) > 20
    assert missing == []


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_promise_of_a_list_has_a_test_or_says_why_not(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()

    bare = [
        line
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if line.startswith("- ") and not after.startswith("  - ")
    ]

    assert bare == []
