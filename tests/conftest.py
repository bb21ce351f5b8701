"""What all tests share: hypothesis profiles, the command line as a process, and a word about what was left out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from sdclient.simulator import Simulator

settings.register_profile("fast", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci",
    max_examples=500,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "fast")

if threading.current_thread() is threading.main_thread():
    # Started in the background by a shell, a process and all its children are deaf to SIGINT, which many tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)

LEFT_OUT = {
    "slow": "pytest -m slow",
    "marathon": "pytest -m marathon",
    "live": "SDCLIENT_LIVE_URL=http://… pytest -m live",
    "gpu": "pytest -m gpu, on a machine with CUDA",
}
_left_out: Counter[str] = Counter()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        _left_out.update(name for name in LEFT_OUT if item.get_closest_marker(name))


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = dict(_left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    # Each worker process leaves out the same tests; the one that prints the summary has none of its own.
    told: dict[str, dict[str, int]] = getattr(node, "workeroutput", {})
    _left_out.update(Counter(told.get("left_out", {})) - _left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, number in sorted(_left_out.items()):
        terminalreporter.write_line(f"left out: {number} tests marked {name}; they run with: {LEFT_OUT[name]}")


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str


@dataclass
class CommandLine:
    """The command ``sdclient`` as a process of its own, in a folder of its own, with an empty HOME."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "sdclient", *args],
            cwd=self.folder,
            env=self._env(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *args: str, answers: str = "", timeout_s: float = 120) -> Ended:
        with self.start(*args) as process:
            try:
                stdout, stderr = process.communicate(answers, timeout=timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert "Traceback" not in stderr, stderr
        return Ended(process.returncode, stdout, stderr)

    def _env(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        # The size is that of the command's own terminal; pytest-xdist tells its workers that of another.
        foreign = ("SDCLIENT_", "COLUMNS", "LINES")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        # The folder of the tests' own package, for a checkout that is not installed.
        return {**kept, "HOME": str(home), "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **self.env}


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """The command line, run in a folder of its own."""
    return CommandLine(tmp_path)


@pytest.fixture
def draw_things() -> Iterator[Simulator]:
    """A simulated Draw Things server."""
    with Simulator("drawthings") as simulator:
        yield simulator


@pytest.fixture
def a1111() -> Iterator[Simulator]:
    """A simulated AUTOMATIC1111 server."""
    with Simulator("a1111") as simulator:
        yield simulator
