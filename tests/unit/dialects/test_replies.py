"""The words of an error in every shape that servers give it."""

import pytest

from sdclient.dialects.replies import TEXT_MAX, error_words, reply_images
from sdclient.errors import BadReplyError


def same(key: str) -> str:
    return key


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(
            {"error": "HTTPException", "detail": "Sampler not found", "body": "", "errors": ""},
            "Sampler not found",
            id="four-keys",
        ),
        pytest.param(
            {"error": "RuntimeError", "detail": "", "body": "", "errors": "boom"}, "RuntimeError: boom", id="class"
        ),
        pytest.param({"error": "TypeError", "detail": "", "message": "boom"}, "TypeError: boom", id="message"),
        pytest.param({"detail": "Not Found"}, "Not Found", id="detail"),
        pytest.param({"detail": {"msg": "busy", "type": "x"}}, "busy", id="object"),
        pytest.param({"error": "prompt required"}, "prompt required", id="error"),
        pytest.param({"error": "same", "detail": "same"}, "same", id="once"),
        pytest.param({"detail": []}, "", id="empty-list"),
        pytest.param({"detail": 7, "error": 3}, "", id="numbers"),
        pytest.param({}, "", id="nothing"),
        pytest.param([1], "", id="list"),
        pytest.param(None, "", id="none"),
        pytest.param("<html><head><title>x</title></head><h1>404 &amp; more</h1></html>", "404 & more", id="html"),
        pytest.param(b"Stopping.", "Stopping.", id="bytes"),
        pytest.param("a\x00b\nc", "a b c", id="control-characters"),
        pytest.param({"detail": "<style>p {}</style><p>Bad</p>"}, "Bad", id="html-inside"),
    ],
)
def test_the_servers_own_words_are_found(body: object, text: str) -> None:
    assert error_words(500, body, same).text == text


def test_a_validation_list_names_the_field() -> None:
    body = {
        "detail": [
            {"loc": ["body", "steps"], "msg": "not an integer", "type": "x"},
            {"loc": ["body", "script_args", 0], "msg": "wrong"},
            {"loc": None, "msg": "odd"},
            "odd",
        ]
    }

    words = error_words(422, body, {"steps": "steps!"}.get)

    assert (words.text, words.field) == ("steps: not an integer; script_args.0: wrong; odd", "steps!")


def test_a_field_without_a_name_of_ours_keeps_its_own() -> None:
    assert error_words(422, {"detail": 'Unrecognized keys: ["zzz"]'}, {}.get).field == "zzz"


@pytest.mark.parametrize(
    "text",
    [
        "OutOfMemoryError",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "NansException",
        "MPS backend out of memory",
        "A tensor with all NaNs was produced in Unet",
    ],
)
def test_a_server_without_memory_is_told_from_a_wrong_request(text: str) -> None:
    assert error_words(500, {"error": text, "detail": ""}, same).is_overload
    assert not error_words(500, {"error": "ValueError"}, same).is_overload


def test_a_long_text_is_cut_short() -> None:
    text = error_words(500, "x" * 100_000, same).text

    assert len(text) == TEXT_MAX
    assert text.endswith("…")


@pytest.mark.parametrize("body", [{"images": ["a", 3]}, {"images": ["a", ""]}, {"images": "a"}, 7])
def test_images_that_are_none_are_a_bad_reply(body: object) -> None:
    with pytest.raises(BadReplyError):
        reply_images(body)
