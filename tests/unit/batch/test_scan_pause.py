"""How often a worker looks at the whole folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.batch.beats import Watcher
from sdclient.batch.worker import SCAN_S, scan_pause_s

SCALE = Path(__file__).parents[3] / "examples" / "scale.md"
LEASE_S = 90.0
SLOWEST_LOOK_S = 10.0
MOST_JITTER = 1.2


def test_a_folder_that_is_quick_to_read_is_looked_at_as_often_as_asked() -> None:
    pause_s = scan_pause_s(SCAN_S, 0.01, LEASE_S)

    assert pause_s == SCAN_S


def test_a_slow_share_is_busy_with_looks_for_a_twentieth_of_the_time() -> None:
    pause_s = scan_pause_s(SCAN_S, 0.5, LEASE_S)

    assert pause_s == 10.0


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        (75_000, "A look of up to 0.75 s takes a twentieth of"),
        (100_000, "a look of 1 s takes a sixteenth of"),
        (1_000_000, "one of 10 s two fifths (a million jobs)"),
    ],
)
def test_the_page_on_scale_says_what_part_of_a_worker_s_time_looks_take(jobs: int, words: str) -> None:
    parts = {"a twentieth of": 1 / 21, "a sixteenth of": 1 / 16, "two fifths (a million jobs)": 2 / 5}
    page = " ".join(SCALE.read_text(encoding="utf-8").split())
    told = re.search(r"seconds of a look, on a local disk \| ([\d.]+) per 1,000 jobs", page)
    assert told is not None

    took_s = float(told[1]) * jobs / 1000
    part = took_s / (took_s + scan_pause_s(SCAN_S, took_s, LEASE_S))

    assert words in page
    assert part == pytest.approx(next(part for name, part in parts.items() if words.endswith(name)))


@given(took_s=st.floats(0, SLOWEST_LOOK_S))
def test_however_long_a_look_takes_a_dead_worker_is_still_noticed(took_s: float) -> None:
    watcher = Watcher(lease_s=LEASE_S, beat_s=10.0)
    step_s = took_s + MOST_JITTER * scan_pause_s(SCAN_S, took_s, LEASE_S)

    for look in range(int(LEASE_S / step_s) + 3):
        watcher.observe({"a" * 32: b"the last sign of life"}, look * step_s)

    assert watcher.is_stale("a" * 32)


@given(took_s=st.floats(0, 1e6), usual_s=st.floats(0.01, 60))
def test_nobody_looks_more_often_than_asked(took_s: float, usual_s: float) -> None:
    pause_s = scan_pause_s(usual_s, took_s, LEASE_S)

    assert usual_s <= pause_s <= max(usual_s, LEASE_S / 6)
