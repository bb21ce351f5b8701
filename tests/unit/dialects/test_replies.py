"""The words of an error in every shape that servers give it."""

import pytest

from sdclient.dialects import DIALECTS
from sdclient.dialects.replies import TEXT_MAX, error_words, reply_images
from sdclient.errors import BadReplyError


def same(key: str) -> str:
    return key


FOUR = {"error": "HTTPException", "detail": "", "body": "", "errors": ""}


@pytest.mark.parametrize(
    ("name", "body", "text", "field"),
    [
        # One: four keys, by A1111 and Draw Things.
        ("a1111", {**FOUR, "detail": "Sampler not found"}, "Sampler not found", "sampler_name"),
        ("a1111", {**FOUR, "detail": "Init image not found"}, "Init image not found", "init_image"),
        ("a1111", {**FOUR, "detail": "Script 'ControlNet' not found"}, "Script 'ControlNet' not found", "controls"),
        (
            "a1111",
            {**FOUR, "error": "Exception", "errors": "could not find upscaler named x"},
            "Exception: could not find upscaler named x",
            "hires.upscaler",
        ),
        ("drawthings", {**FOUR, "detail": 'Unrecognized keys: ["sampler", "b"]'}, None, "sampler_name"),
        ("drawthings", {**FOUR, "detail": "Größe passt nicht"}, "Größe passt nicht", None),
        # Two: FastAPI's list.
        (
            "a1111",
            {"detail": [{"loc": ["body", "init_images"], "msg": "none", "type": "x"}]},
            "init_images: none",
            "init_image",
        ),
        ("forge", {"detail": [{"loc": ["body", "hr_cfg"], "msg": "no float"}]}, "hr_cfg: no float", "hr_cfg"),
        # Three: detail alone, or message instead of errors, by Forge.
        ("forge", {"detail": "Init image not found"}, "Init image not found", "init_image"),
        (
            "forge",
            {"error": "Exception", "detail": "", "body": "", "message": "could not find checkpoint"},
            "Exception: could not find checkpoint",
            "refiner.model",
        ),
        # Four: SD.Next's five keys, its bare error, its bare string.
        ("sdnext", {**FOUR, "code": 404, "detail": "Sampler not found"}, "Sampler not found", "sampler_name"),
        ("sdnext", {"error": "Init image is none"}, "Init image is none", "init_image"),
        ("sdnext", "'NoneType' object is not subscriptable", "'NoneType' object is not subscriptable", None),
        # Five: the small servers' error, with a message or an object in detail.
        ("sdcpp", {"error": "prompt required"}, "prompt required", "prompt"),
        ("sdcpp", {"error": "invalid lora path: x"}, "invalid lora path: x", "loras"),
        ("sdcpp", {"error": "server_error", "message": "type must be number"}, "type must be number", None),
        (
            "koboldcpp",
            {"detail": {"msg": "Payload is too big", "type": "bad_input"}},
            "Payload is too big",
            "init_image",
        ),
        (
            "koboldcpp",
            {"detail": {"msg": "Server is busy; try later.", "type": "x"}},
            "Server is busy; try later.",
            None,
        ),
        ("koboldcpp", "<html><body>404</body></html>", "404", None),
    ],
)
def test_each_server_is_understood_in_its_own_shape(name: str, body: object, text: str | None, field) -> None:
    words = DIALECTS[name].read_error(500, body)

    assert text is None or words.text == text
    assert words.field == field


@pytest.mark.parametrize("name", list(DIALECTS))
@pytest.mark.parametrize(
    "body",
    [
        {**FOUR, "error": "OutOfMemoryError", "errors": "CUDA out of memory"},
        {"detail": "CUDA out of memory. Tried to allocate 2 GiB"},
        {"error": "server_error", "message": "failed to allocate buffer"},
        {"detail": {"msg": "not enough memory", "type": "x"}},
    ],
)
def test_memory_that_ran_out_is_told_in_every_shape(name: str, body: object) -> None:
    assert DIALECTS[name].read_error(500, body).is_overload


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


def test_a_key_of_the_servers_own_is_cut_short_and_printable() -> None:
    body = {"detail": [{"loc": ["body", "a\x1b" + "b" * 9000], "msg": "wrong", "type": "x"}]}

    field = error_words(422, body, same).field

    assert field == "a " + "b" * 58
