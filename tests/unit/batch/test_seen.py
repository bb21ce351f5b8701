"""Whether a worker that found nothing to do is needed again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sdclient.batch.claims import FRESH, Standing
from sdclient.batch.seen import Seen, look_at_folder
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.segment import SegmentSettings

CUTS, DRAWS, NOBODY = frozenset({"segment"}), frozenset({"txt2img"}), frozenset[str]()


@pytest.fixture
def begun(tmp_path: Path) -> Seen:
    """Two images to draw, and their cut-outs."""
    run = Run(tmp_path / "OUT").add(["a fox", "a hare"], Txt2Img(inherit=True))
    run.add_cutouts_of_outputs(SegmentSettings(model="classical")).save()
    return look_at_folder(run.folder)


def seen(first: Seen, **states: str) -> Seen:
    """The same, the jobs of one kind in another state."""
    done = frozenset(id_ for id_, job in first.jobs.items() if states.get(job.kind) == "done")
    standings = {
        id_: replace(FRESH, state=states.get(first.jobs[id_].kind, "waiting"), next_epoch=None)
        for id_ in first.standings.keys() - done
    }
    return Seen(first.jobs, done, standings)


def test_who_cuts_out_is_needed_while_somebody_draws_and_once_something_is_drawn(begun: Seen) -> None:
    assert not begun.has_more(CUTS, NOBODY)
    assert begun.has_more(CUTS, DRAWS)
    assert seen(begun, txt2img="claimed").has_more(CUTS, NOBODY)
    assert seen(begun, txt2img="done").has_more(CUTS, NOBODY)


def test_who_draws_is_needed_while_something_is_not_drawn(begun: Seen) -> None:
    assert begun.has_more(DRAWS, NOBODY)
    assert not seen(begun, txt2img="done").has_more(DRAWS, CUTS)


def test_nobody_is_needed_for_what_was_set_aside(begun: Seen) -> None:
    aside = seen(begun, txt2img="set_aside")

    assert not aside.has_more(DRAWS, CUTS)
    assert not aside.has_more(CUTS, DRAWS)
    assert (aside.left(DRAWS), aside.left(CUTS)) == (0, 2)


def test_what_is_left_is_counted_by_kind(begun: Seen) -> None:
    assert (begun.left(DRAWS), begun.left(CUTS), begun.left(DRAWS | CUTS)) == (2, 2, 4)
    assert isinstance(begun.standings[next(iter(begun.jobs))], Standing)
