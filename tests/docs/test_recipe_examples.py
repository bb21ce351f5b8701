"""The examples of nations, canvas and daily run as they are, without a server, twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = {
    "nations": ("metrics.csv", "baked/Greek/family/Greek_family_1_1_upscaled_1.png"),
    "canvas": ("0001_strip.png", "0001.gif"),
    "daily": ("posts/0001_*/text.txt", "posts/0001_*/image.png"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_without_a_server_and_again_makes_nothing_anew(tmp_path: Path, name: str) -> None:
    command = [sys.executable, str(ROOT / f"examples/{name}.py"), "--out", "OUT"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}

    ended = [
        subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
        for _ in range(2)
    ]

    assert [one.returncode for one in ended] == [0, 0], ended[0].stderr + ended[1].stderr
    assert ended[0].stdout.strip()
    assert all(list((tmp_path / "OUT").glob(pattern)) for pattern in EXAMPLES[name])
    assert "0 of them now" in ended[1].stdout or "posted before" in ended[1].stdout


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_and_has_a_page(name: str) -> None:
    assert len((ROOT / f"examples/{name}.py").read_text(encoding="utf-8").splitlines()) <= 60
    assert f"({name}.py)" in (ROOT / f"examples/{name}.md").read_text(encoding="utf-8")


def test_the_printed_width_of_an_image_is_told_right() -> None:
    """The page of the study this comes from says 4 cm."""
    page = (ROOT / "examples/nations.md").read_text(encoding="utf-8")

    assert f"{2048 / 300 * 2.54:.1f} cm ({2048 / 300:.1f} in)" in page
