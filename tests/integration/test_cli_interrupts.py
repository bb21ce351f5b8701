"""Ctrl-C again and again: whenever it comes, the command ends with its code and with words, never by the signal."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from sdclient.simulator import Simulator
from tests.conftest import CommandLine
from tests.integration.scripted_server import png

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
EVERY_S = 0.02
MOST = 1000


def ended_within(process: subprocess.Popen[str], wait_s: float) -> bool:
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def storm(process: subprocess.Popen[str], *, after_s: float) -> tuple[int, str]:
    """Send SIGINT until the process ends, beginning some seconds after its start."""
    wait_s = after_s
    for _ in range(MOST):
        if ended_within(process, wait_s):
            return process.returncode, process.communicate()[1]
        process.send_signal(signal.SIGINT)
        wait_s = EVERY_S
    process.kill()
    raise AssertionError(f"still there after {MOST} signals: {process.communicate()[1]}")


@pytest.mark.parametrize("after_s", [0.3, 0.7, 1.1, 1.6])
@pytest.mark.parametrize(
    "args",
    [
        pytest.param(("demo", "--out", "demo"), id="demo"),
        pytest.param(
            ("upscale", "IN", "OUT", "--payload", "bake", "--set", "width=64", "--set", "height=64"), id="upscale"
        ),
    ],
)
def test_a_storm_of_ctrl_c_ends_a_command_with_130(cli: CommandLine, args: Sequence[str], after_s: float) -> None:
    (cli.folder / "IN").mkdir()
    (cli.folder / "IN/a.png").write_bytes(png())
    with Simulator("a1111", delay_s=30) as server:
        cli.env = {"SDCLIENT_URL": server.url}
        with cli.start(*args) as process:
            code, stderr = storm(process, after_s=after_s)

    assert code == 130
    assert "Traceback" not in stderr


AN_INTERRUPTED_LIBRARY = """
import signal
from sdclient.cli import app, main

def turn_into_an_error_of_its_own(**_):
    {before}
    raise RuntimeError("Error calling __set_name__ on 'cached_property' instance 'data'")

app.app.main = turn_into_an_error_of_its_own
main()
"""
CTRL_C = """try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        pass"""


@pytest.mark.parametrize(
    ("before", "code", "words"),
    [
        pytest.param(CTRL_C, 130, "stopped", id="after Ctrl-C"),
        pytest.param("pass", 1, "This is a fault in sdclient itself (RuntimeError)", id="without"),
    ],
)
def test_an_error_that_a_library_makes_of_ctrl_c_is_not_told_as_a_fault(before: str, code: int, words: str) -> None:
    program = AN_INTERRUPTED_LIBRARY.format(before=before)

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == code
    assert words in ended.stderr
    assert ("fault" in ended.stderr) == (code == 1)
    assert "Traceback" not in ended.stderr
