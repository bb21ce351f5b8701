"""Commands that are offered to be typed, by what a shell makes of them."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.files import command_line


@pytest.mark.parametrize("name", ["two words", "it's", "$HOME", "a;b", "ä*?[1]", "~", "-"])
def test_a_shell_hands_a_program_the_words_that_were_meant(name: str) -> None:
    typed = command_line("printf", r"%s\0", "--repair", Path("runs", name), name)

    handed = subprocess.run(["sh", "-c", typed], capture_output=True, check=True).stdout.decode()

    assert handed.split("\0")[:-1] == ["--repair", f"runs/{name}", name]


@pytest.mark.parametrize(
    ("path", "typed"), [("-out", "./-out"), ("./-out", "./-out"), ("-my out", "'./-my out'"), ("in/-x", "in/-x")]
)
def test_a_path_is_never_taken_for_an_option(path: str, typed: str) -> None:
    assert command_line("sdclient", "verify", Path(path), "--repair") == f"sdclient verify {typed} --repair"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_path_that_is_typed_is_the_same_path(name: str) -> None:
    program, typed = shlex.split(command_line("ls", Path(name)))

    assert (program, Path(typed)) == ("ls", Path(name))
    assert not typed.startswith("-")
