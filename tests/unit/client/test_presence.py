"""Who answers, and when that is asked again: by a clock of the test's, and answers of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import pytest

from sdclient.client.presence import SILENT_S, Presence
from sdclient.dialects import dialect_named
from sdclient.dialects.facts import drawthings_keys
from sdclient.errors import DeadlineError, NotSentError

A1111 = {
    "/sdapi/v1/options": {
        "sd_model_checkpoint": "m",
        "CLIP_stop_at_last_layers": 1,
        "samples_format": "png",
        "sd_vae": "x",
    }
}
DRAW_THINGS = {"/sdapi/v1/options": dict.fromkeys(drawthings_keys())}


class Place:
    """An address where anybody may answer, and a clock."""

    def __init__(self, answers: Mapping[str, object], spoken: str | None = None) -> None:
        self.answers: Mapping[str, object] | Exception = answers
        self.looks = 0
        self.now_s = 0.0
        clock: Callable[[], float] = lambda: self.now_s  # noqa: E731 - one line
        self.presence = Presence(self.look, "http://x", dialect_named(spoken) if spoken else None, clock)

    def look(self, path: str) -> object:
        self.looks += 1
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers.get(path)


def test_nobody_is_asked_again_while_replies_come() -> None:
    place = Place(A1111)
    assert place.presence.dialect.name == "a1111"
    looks = place.looks

    place.now_s = 100.0
    place.presence.note_heard()
    place.now_s += SILENT_S

    assert place.presence.look_again() == (False, None)
    assert place.looks == looks


def test_after_a_silence_the_same_program_is_as_it_was() -> None:
    place = Place(A1111)
    assert place.presence.dialect.name == "a1111"

    place.now_s = SILENT_S + 0.1

    assert place.presence.look_again() == (False, None)


def test_after_a_silence_another_one_is_told_with_the_one_before() -> None:
    place = Place(A1111)
    assert place.presence.dialect.name == "a1111"

    place.answers, place.now_s = DRAW_THINGS, SILENT_S + 0.1
    is_old, before = place.presence.look_again()

    assert (is_old, before.name if before else None) == (True, "a1111")
    assert place.presence.dialect.name == "drawthings"


def test_after_a_failure_what_was_known_is_old_once() -> None:
    place = Place(A1111)
    assert place.presence.dialect.name == "a1111"

    place.presence.note_failure()

    assert place.presence.look_again() == (True, None)
    assert place.presence.look_again() == (False, None)


def test_a_server_that_is_too_busy_to_answer_is_the_one_it_was() -> None:
    place = Place(A1111)
    assert place.presence.dialect.name == "a1111"

    place.answers, place.now_s = DeadlineError("busy"), SILENT_S + 0.1

    assert place.presence.look_again() == (False, None)
    assert place.presence.dialect.name == "a1111"


def test_a_server_that_is_gone_is_told_and_asked_for_again() -> None:
    place = Place(A1111)
    assert place.presence.dialect.name == "a1111"
    place.presence.note_failure()

    place.answers = NotSentError("refused")
    with pytest.raises(NotSentError):
        place.presence.look_again()
    place.answers = DRAW_THINGS

    assert place.presence.look_again()[0]
    assert place.presence.dialect.name == "drawthings"


def test_what_somebody_named_is_kept_and_compared() -> None:
    place = Place(A1111, spoken="forge")
    place.presence.compare()
    assert place.presence.taken_for is not None

    place.presence.note_failure()
    is_old, _ = place.presence.look_again()

    assert is_old
    assert place.presence.dialect.name == "forge"


def test_nobody_waits_for_somebody_else_who_looks() -> None:
    place = Place(A1111)
    assert place.presence.dialect.name == "a1111"
    place.now_s = SILENT_S + 0.1
    inside: list[tuple[bool, object]] = []

    class Asking(dict[str, object]):
        def get(self, path: str, default: object = None) -> object:
            other = threading.Thread(target=lambda: inside.append(place.presence.look_again()))
            other.start()
            other.join(5)
            return A1111.get(path, default)

    place.answers = Asking()

    assert place.presence.look_again() == (False, None)
    assert inside
    assert set(inside) == {(False, None)}
