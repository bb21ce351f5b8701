"""The tests for real servers, run against every simulated one: so that they hold when somebody has a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdclient.simulator import DIALECTS, Simulator

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_live_tests_pass_against_a_simulated_server(dialect: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "live", "tests/live"]
    with Simulator(dialect) as server:
        env = {**os.environ, "SDCLIENT_LIVE_URL": server.url}
        ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        posts = [exchange for exchange in server.log if exchange.method == "POST" and exchange.path.endswith("2img")]

    assert ended.returncode == 0, ended.stdout
    assert "14 passed" in ended.stdout
    # Small enough for any real server.
    assert all(exchange.body["steps"] <= 2 and exchange.body["width"] <= 128 for exchange in posts)
