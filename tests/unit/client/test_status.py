"""What a status means, where the time it took or the server's words decide."""

from __future__ import annotations

import json

import pytest

from sdclient.cli.app import EXIT_FAILED, EXIT_REFUSED, report
from sdclient.client.status import LATE_REJECTION_S, judge_status
from sdclient.dialects import DIALECTS
from sdclient.errors import (
    MissingRouteError,
    OverloadError,
    RejectedError,
    ServerBusyError,
    ServerError,
    ServerFaultError,
)
from sdclient.transport import HttpReply

WHAT = "POST http://gpu:7860/sdapi/v1/txt2img"


def judged(
    status: int,
    detail: str = "",
    *,
    elapsed_s: float = 0.1,
    dialect: str | None = "drawthings",
    headers: dict[str, str] | None = None,
) -> ServerError:
    body = json.dumps({"error": "HTTPException", "detail": detail, "body": "", "errors": ""}).encode()
    with pytest.raises(ServerError) as caught:
        judge_status(
            HttpReply(status, headers or {}, body, elapsed_s), what=WHAT, dialect=DIALECTS[dialect] if dialect else None
        )
    assert str(caught.value).startswith(f"{WHAT}: {status}")
    return caught.value


def passes(status: int) -> bool:
    try:
        judge_status(HttpReply(status, {}, b"", 0.1), what=WHAT)
    except ServerError:
        return False
    return True


def test_every_status_of_success_passes_and_no_other() -> None:
    passed = [status for status in range(100, 1000) if passes(status)]

    assert passed == list(range(200, 300))


def test_a_refusal_at_once_is_the_requests_fault_and_one_after_minutes_the_servers() -> None:
    early = judged(422, "something in another language")
    late = judged(422, "something in another language", elapsed_s=LATE_REJECTION_S + 400)

    assert (type(early), early.retryable) == (RejectedError, False)
    assert (type(late), late.retryable, late.blames_server) == (ServerFaultError, True, True)
    assert "after 420 s" in str(late)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ('Unrecognized keys: ["a"]', "update either"),
        ("Unrecognized model: xl.ckpt", "downloaded on that machine"),
        ("Missing file: lora.ckpt", "download that file"),
        ("init_images[0] is not a valid image", "cannot read the image"),
        ("Script 'x' not found", "extension is not installed"),
    ],
)
def test_words_of_the_server_get_a_hint_what_to_do(words: str, hint: str) -> None:
    error = judged(422, words)

    assert words in str(error)
    assert hint in str(error)


def test_a_refusal_without_words_says_that_there_were_none() -> None:
    assert "refused without a reason" in str(judged(422))


def test_out_of_memory_is_the_servers_fault_whatever_the_status() -> None:
    assert type(judged(422, "CUDA out of memory")) is OverloadError


SHAPES = {
    "four keys": lambda words: {"error": "HTTPException", "detail": words, "body": "", "errors": ""},
    "a validation list": lambda words: {"detail": [{"loc": ["body", "steps"], "msg": words, "type": "x"}]},
    "a message": lambda words: {"error": "Exception", "detail": "", "body": "", "message": words},
    "a bare error": lambda words: {"error": words},
    "an object": lambda words: {"detail": {"msg": words, "type": "bad_input"}},
}


@pytest.mark.parametrize(
    ("words", "hint"),
    [('Unrecognized keys: ["steps"]', "update either"), ("Größe passt nicht", None), ("Missing file: x", "download")],
    ids=["a key", "another language", "a known trouble"],
)
@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_every_shape_keeps_the_servers_words_the_field_and_what_to_do(
    dialect: str, shape: str, words: str, hint: str | None
) -> None:
    body = json.dumps(SHAPES[shape](words)).encode()
    names_field = "steps" in words or shape == "a validation list"

    with pytest.raises(RejectedError) as caught:
        judge_status(HttpReply(422, {}, body, 0.1), what=WHAT, dialect=DIALECTS[dialect])

    assert caught.value.field == ("steps" if names_field else None)
    before, _, after = str(caught.value).partition(words)
    assert before.startswith(f"{WHAT}: 422, refused{' (steps)' if names_field else ''}: ")
    assert after.startswith("; ")
    assert (hint or ("change steps" if names_field else "sdclient doctor")) in after


def test_a_late_rejection_ends_the_command_like_any_server_that_failed() -> None:
    assert report(judged(422, "x", elapsed_s=LATE_REJECTION_S + 400)) == EXIT_FAILED
    assert report(judged(422, "x")) == EXIT_REFUSED


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("", None), ("soon", None), ("-1", None), ("1e9", None)])
def test_only_a_sane_wait_is_passed_on(text: str, seconds: float | None) -> None:
    error = judged(503, "queue", headers={"retry-after": text})

    assert isinstance(error, ServerBusyError)
    assert error.retry_after_s == seconds
    assert str(error).endswith("later" if seconds is None else f"in {seconds:g} s")


def test_words_are_cut_short_and_printable() -> None:
    error = judged(400, "bad \x1b[31m" + "x" * 5000)

    assert len(str(error)) < 600
    assert str(error).isprintable()
    assert len(error.body) <= 4000


def test_without_a_dialect_the_usual_keys_are_read() -> None:
    assert "no such thing" in str(judged(400, "no such thing", dialect=None))
    assert isinstance(judged(404, "Not Found", dialect=None), MissingRouteError)
    assert isinstance(judged(405, "whatever"), MissingRouteError)


@pytest.mark.parametrize("body", [b"null", b'{"detail":{"msg":"No such endpoint","type":"x"}}', b"KoboldCpp: not here"])
def test_a_list_that_is_not_found_is_a_missing_route_whatever_its_body_says(body: bytes) -> None:
    with pytest.raises(MissingRouteError):
        judge_status(
            HttpReply(404, {}, body, 0.1),
            what="GET http://gpu:5001/sdapi/v1/schedulers",
            dialect=DIALECTS["koboldcpp"],
        )


def test_a_request_that_misses_its_image_is_refused_and_no_missing_route() -> None:
    assert isinstance(judged(404, "Init image not found", dialect="a1111"), RejectedError)


def test_a_server_that_fails_at_a_field_names_it() -> None:
    error = judged(500, 'Unrecognized keys: ["steps"]')

    assert isinstance(error, ServerFaultError)
    assert error.field == "steps"
