"""One request on a server at a time, and memory that does not grow with the run: as the servers and the system tell it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from sdclient.run import Run
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.simulator import Simulator
from tests.integration.simulator_talk import ask

LARGE_PX = 1536
# In a process of its own, whose memory is that of the run alone.
CODE = """
import re, sys
from sdclient.run import Run

made = Run.open(sys.argv[1]).start(sys.argv[2]).made
# Not ru_maxrss: that begins with what the process that started this one had taken.
print(made, re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
"""


def test_a_server_has_one_request_at_a_time_from_however_many_lanes_of_a_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "out", run_seed=1)
    run.add([f"fox {number}" for number in range(12)], Txt2Img(width=64, height=64, steps=1), into="drawn")
    with ExitStack() as stack:
        servers = [stack.enter_context(Simulator(delay_s=0.02)) for _ in range(3)]
        result = run.start([server.url for server in servers])
        told = [[one for one in server.log if one.path.endswith("/txt2img")] for server in servers]

    assert (result.made, sum(map(len, told))) == (12, 12)
    for exchanges in told:
        assert all(before.ended_s <= after.started_s for before, after in pairwise(exchanges))


def peak_mb(folder: Path, jobs: int, server: Simulator, source: bytes) -> float:
    """Return the most memory, in MiB, that a run of so many large img2img jobs takes at any moment."""
    (folder / "in").mkdir(parents=True)
    for number in range(jobs):
        (folder / "in" / f"{number:02d}.png").write_bytes(source)
    Run(folder / "out", run_seed=1).add_folder(folder / "in", Img2Img(steps=1, denoising_strength=0.3)).save()
    command = [sys.executable, "-c", CODE, str(folder / "out"), server.url]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=env, timeout=240)
    made, kib = map(int, told.stdout.split())
    assert made == jobs
    return kib / 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
def test_memory_holds_a_few_images_however_long_the_run_is(tmp_path: Path) -> None:
    with Simulator(prerendered=True) as server:
        body = {"prompt": "x", "steps": 1, "width": LARGE_PX, "height": LARGE_PX}
        source = base64.b64decode(json.loads(ask(server, "txt2img", body).body)["images"][0])
        short = peak_mb(tmp_path / "short", 6, server, source)
        long = peak_mb(tmp_path / "long", 24, server, source)

    # A job on its way holds its file, that as base64, the reply, and pixels: about ten times the file. Three are. Of each
    # of the 18 more jobs not even half its file stays; what the allocator keeps differs by a few files.
    assert long < short + 18 / 2 * len(source) / 2**20
    assert long < 300
