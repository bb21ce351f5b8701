"""Ctrl-C again and again: whenever it comes, the command ends with its code and with words, never by the signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from sdclient.simulator import Simulator
from tests.conftest import CommandLine

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
    (cli.folder / "IN/a.png").write_bytes(b"not yet read when the signals come")
    with Simulator("a1111", delay_s=30) as server:
        cli.env = {"SDCLIENT_URL": server.url}
        with cli.start(*args) as process:
            code, stderr = storm(process, after_s=after_s)

    assert code == 130
    assert "Traceback" not in stderr


def test_an_interrupt_while_a_class_is_made_is_forgotten_once_it_is_answered(cli: CommandLine) -> None:
    # Where `exec` was interrupted, CPython ends a module's run by the signal, whatever became of the exception.
    (cli.folder / "prog.py").write_text(
        "import sys\n"
        "try:\n    exec('raise KeyboardInterrupt')\n"
        "except KeyboardInterrupt:\n    pass\n"
        "import sdclient.cli.payload as payload\n"
        "payload.command.commands['schema'].callback = lambda **_: 130\n"
        "sys.argv = ['sdclient', 'payload', 'schema']\n"
        "from sdclient.cli import main\nmain()\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    ended = subprocess.run(
        [sys.executable, "-m", "prog"], cwd=cli.folder, env=env, capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (130, "")
