"""Signs of life: written, read, and judged by observation alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from sdclient.batch.beats import BEAT_BYTES, Beat, BeatWriter, Watcher, parse_beat, read_beats
from sdclient.batch.identity import ProcessIdentity, new_token, own_identity


class TestIdentity:
    def test_this_process_is_not_gone(self) -> None:
        assert not own_identity().is_certainly_gone()

    def test_a_process_that_ended_is_gone(self) -> None:
        process = subprocess.Popen([sys.executable, "-c", ""])
        identity = replace(own_identity(), pid=process.pid)
        process.wait()

        assert identity.is_certainly_gone()

    @pytest.mark.skipif(sys.platform == "win32", reason="no zombies there")
    def test_a_zombie_is_gone(self) -> None:
        process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
        process.stdout.read()  # type: ignore[union-attr]
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert replace(own_identity(), pid=process.pid).is_certainly_gone()
        process.communicate()

    def test_another_process_with_the_same_id_is_not_the_same(self) -> None:
        assert replace(own_identity(), start="1").is_certainly_gone()

    @pytest.mark.parametrize("change", [{"boot": "another"}, {"boot": ""}, {"namespace": "another"}])
    def test_nothing_is_certain_about_another_machine(self, change: dict[str, str]) -> None:
        assert not replace(own_identity(), pid=2**22 + 1, **change).is_certainly_gone()  # type: ignore[arg-type]

    def test_a_process_whose_start_is_unknown_is_not_certainly_gone(self) -> None:
        assert not replace(own_identity(), start="").is_certainly_gone()

    def test_tokens_are_never_the_same(self) -> None:
        assert len({new_token() for _ in range(100)}) == 100


class TestWriter:
    def test_beats_are_rewritten_in_place_and_grow(self, tmp_path: Path) -> None:
        path = tmp_path / "beat"
        writer = BeatWriter(path, beat_s=10, lease_s=90, label="gpu", kinds=lambda: ["segment"])
        writer.beat()
        inode = path.stat().st_ino
        writer.beat()

        beat = parse_beat(path.read_bytes())

        assert beat == Beat(2, own_identity(), "gpu", frozenset({"segment"}))
        assert (path.stat().st_ino, path.stat().st_size) == (inode, BEAT_BYTES)

    def test_a_worker_is_fenced_after_half_a_lease_without_a_beat(self, tmp_path: Path) -> None:
        now = [0.0]
        writer = BeatWriter(tmp_path / "beat", beat_s=10, lease_s=90, clock=lambda: now[0])
        before = writer.is_fenced
        writer.beat()
        now[0] = 45.0
        in_time = writer.is_fenced
        now[0] = 45.1
        late = writer.is_fenced
        writer.beat()

        assert [before, in_time, late, writer.is_fenced] == [True, False, True, False]

    def test_a_beat_that_cannot_be_written_is_no_error(self, tmp_path: Path) -> None:
        assert not BeatWriter(tmp_path / "gone" / "beat", beat_s=10, lease_s=90).beat()

    def test_it_beats_on_in_the_background_until_it_is_stopped(self, tmp_path: Path) -> None:
        asked = threading.Semaphore(0)

        def kinds() -> list[str]:
            asked.release()
            return []

        writer = BeatWriter(tmp_path / "beat", beat_s=0.01, lease_s=1, kinds=kinds)
        writer.start()
        for _ in range(3):
            assert asked.acquire(timeout=5)
        writer.stop(remove=True)

        assert list(tmp_path.iterdir()) == []

    def test_a_worker_that_hangs_falls_silent(self, tmp_path: Path) -> None:
        asked = threading.Semaphore(0)

        def is_well() -> bool:
            asked.release()
            return False

        writer = BeatWriter(tmp_path / "beat", beat_s=0.01, lease_s=1, is_well=is_well)
        writer.start()
        for _ in range(3):
            assert asked.acquire(timeout=5)
        writer.stop(remove=False)

        beat = parse_beat((tmp_path / "beat").read_bytes())
        assert beat is not None
        assert beat.counter == 1

    def test_beats_of_a_missing_folder_are_none(self, tmp_path: Path) -> None:
        assert read_beats(tmp_path / "gone") == {}


class TestWatcher:
    def watcher(self) -> Watcher:
        return Watcher(lease_s=90, beat_s=10)

    def test_a_beat_that_does_not_change_for_the_lease_is_stale(self) -> None:
        watcher = self.watcher()
        stale = []
        for now in (0, 25, 50, 75, 89, 90):
            watcher.observe({"a": b"1"}, now)
            stale.append(watcher.is_stale("a"))

        assert stale == [False] * 5 + [True]

    def test_a_worker_that_never_beats_is_stale_a_lease_after_it_was_first_asked_for(self) -> None:
        watcher = self.watcher()
        stale = []
        for now in (0, 25, 50, 75, 100):
            watcher.observe({}, now)
            stale.append(watcher.is_stale("a"))

        assert stale == [False] * 4 + [True]

    def test_after_an_own_pause_everything_is_forgotten(self) -> None:
        watcher = self.watcher()
        watcher.observe({"a": b"1"}, 0)
        watcher.observe({"a": b"1"}, 1000)

        assert not watcher.is_stale("a")

    def test_time_spent_reading_is_to_the_workers_advantage(self) -> None:
        watcher = self.watcher()
        watcher.observe({"a": b"1"}, 0, 29)
        stale = []
        for now in (29, 58, 87, 116, 119):
            watcher.observe({"a": b"1"}, now, now + 1)
            stale.append(watcher.is_stale("a"))

        assert stale == [False, False, False, False, True]

    def test_before_the_first_look_nobody_is_stale(self) -> None:
        assert not self.watcher().is_stale("a")

    def test_a_process_that_is_gone_is_stale_at_once_and_for_good(self) -> None:
        watcher = self.watcher()
        dead = Beat(1, replace(own_identity(), start="1")).to_bytes()
        watcher.observe({"a": dead}, 0)
        first = watcher.is_stale("a")
        watcher.observe({"a": b"torn"}, 1)

        assert (first, watcher.is_gone("a")) == (True, True)

    def test_torn_beats_of_others_prove_nothing(self) -> None:
        watcher = self.watcher()
        watcher.observe({"a": b"", "b": b'{"counter": {}}'}, 0)

        assert not watcher.is_stale("a")
        assert not watcher.is_stale("b")


def test_a_label_in_any_script_leaves_the_beat_readable() -> None:
    beat = parse_beat(Beat(1, ProcessIdentity("b", "n", 1, "s"), "Ж" * 300).to_bytes())

    assert beat is not None
    assert beat.label == "?" * 40
