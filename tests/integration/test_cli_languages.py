"""The command line speaks UTF-8 to files and pipes, whatever the system takes text for."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from sdclient.simulator import Simulator
from tests.conftest import CommandLine

PROMPT = "狐 in the snow 🦊, café"


@pytest.fixture
def windows(cli: CommandLine) -> CommandLine:
    """The command line where pipes have the code page of a western Windows, as they have there."""
    cli.env["PYTHONIOENCODING"] = "cp1252"
    payload = {"kind": "txt2img", "request": {"prompt": PROMPT, "model": "m"}}
    (cli.folder / "fox.json").write_text(json.dumps(payload), encoding="utf-8")
    return cli


def _run(cli: CommandLine, *args: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "sdclient", *args]
    return subprocess.run(command, cwd=cli.folder, env=cli._env(), input=given, capture_output=True, check=False)


def test_json_for_a_program_is_utf8_where_the_system_has_another_encoding(windows: CommandLine) -> None:
    ended = _run(windows, "payload", "show", "fox.json", "--dialect", "a1111", "--json")

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.decode("utf-8"))[0]["body"]["prompt"] == PROMPT


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte order mark"])
def test_a_payload_comes_whole_through_two_pipes(windows: CommandLine, mark: bytes) -> None:
    body = json.dumps({"prompt": PROMPT, "sampler_name": "Euler", "steps": 20}, ensure_ascii=False)

    ended = _run(windows, "payload", "import", "-", given=mark + body.encode())

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.decode("utf-8"))["request"]["prompt"] == PROMPT


def test_what_is_no_utf8_on_stdin_is_refused_with_words(windows: CommandLine) -> None:
    ended = _run(windows, "payload", "import", "-", given='{"prompt": "café"}'.encode("cp1252"))

    assert ended.returncode == 2
    assert b"not UTF-8 text (byte 15)" in ended.stderr
    assert b"fault in sdclient" not in ended.stderr


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_an_image_that_was_drawn_is_told_whatever_its_name(cli: CommandLine, a1111: Simulator) -> None:
    name = os.fsdecode(b"fox-\xe9.png")

    ended = _run(cli, "txt2img", "a fox", "--url", a1111.url, "--inherit", "-o", name, "--json")

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.decode("utf-8"))["files"] == [name]
