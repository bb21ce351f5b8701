"""A payload that its server refuses whole: the run stops asking, says why, and goes on once it is mended."""

from __future__ import annotations

from pathlib import Path

import sdclient as sd
from sdclient.batch.log import read_attempts
from sdclient.run import Run
from sdclient.simulator import Simulator


def test_a_model_that_draw_things_does_not_know_sets_three_jobs_aside_and_no_more(tmp_path: Path) -> None:
    request = sd.Txt2Img(width=128, height=128, steps=1, model="not_there.ckpt", inherit=True)
    run = Run(tmp_path / "out", run_seed=1).add([f"prompt {number}" for number in range(8)], request)

    with Simulator("drawthings") as server:
        result = run.start(server.url)
        posts = [exchange for exchange in server.log if exchange.method == "POST"]

    (why,) = result.left.values()
    assert (result.counts.done, result.counts.set_aside, result.counts.waiting) == (0, 3, 5)
    assert "not_there.ckpt" in why or "model" in why.casefold()
    assert "sdclient retry" in why
    assert len(posts) <= 5
    rows, _ = read_attempts(run.folder)
    assert all(row["seed"] for row in rows if row["status"] == "set_aside")
