"""The simulated Draw Things over real sockets: four routes, strict bodies, inherited settings, bare replies."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from PIL import Image

from sdclient.simulator import Simulator

# What a request has to say so that the window's leftovers do not show.
CLEAN: dict[str, object] = {
    "prompt": "a fox",
    "upscaler": None,
    "loras": [],
    "controls": [],
    "width": 128,
    "height": 128,
}
CONTROL: dict[str, object] = {
    "file": "controlnet_tile_1.x_v1.1_f16.ckpt",
    "weight": 0.5,
    "guidanceStart": 0.0,
    "guidanceEnd": 1.0,
    "noPrompt": False,
    "globalAveragePooling": True,
    "downSamplingRate": 1.0,
    "controlImportance": "balanced",
    "inputOverride": "",
    "targetBlocks": [],
}


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with Simulator("drawthings") as running:
        yield running


def ask(server: Simulator, path: str, body: object = None, method: str | None = None) -> tuple[int, bytes]:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def images(server: Simulator, route: str, **changes: object) -> list[bytes]:
    status, reply = ask(server, f"/sdapi/v1/{route}", {**CLEAN, **changes})
    assert status == 200, reply
    document = json.loads(reply)
    assert list(document) == ["images"]
    return [base64.b64decode(text, validate=True) for text in document["images"]]


def detail(server: Simulator, route: str, body: object) -> str:
    """Post what must be refused, and give the refusal's text."""
    status, reply = ask(server, f"/sdapi/v1/{route}", body)
    document = json.loads(reply)
    assert status == 422
    assert sorted(document) == ["body", "detail", "error", "errors"]
    assert (document["error"], document["body"], document["errors"]) == ("HTTPException", "", "")
    return str(document["detail"])


def encoded(size: tuple[int, int], color: str = "teal", form: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, form)
    return base64.b64encode(buffer.getvalue()).decode()


def size(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


def pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).tobytes()


# --- routes


@pytest.mark.parametrize("path", ["/sdapi/v1/sd-models", "/sdapi/v1/progress", "/sdapi/v1/samplers", "/docs"])
def test_other_routes_are_a_404_without_json(server: Simulator, path: str) -> None:
    status, body = ask(server, path)

    assert status == 404
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(body)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/sdapi/v1/options"), ("GET", "/sdapi/v1/txt2img"), ("PUT", "/")]
)
def test_known_paths_know_one_method_only(server: Simulator, method: str, path: str) -> None:
    assert ask(server, path, b"{}" if method != "GET" else None, method)[0] == 404


def test_both_get_routes_show_every_parameter_with_its_value(server: Simulator) -> None:
    root, options = (json.loads(ask(server, path)[1]) for path in ("/", "/sdapi/v1/options"))

    assert root == options
    assert len(root) == 83
    assert not {"restore_faces", "init_images", "cfg_scale"} & set(root)
    assert root["tea_cache_end"] == -1


def test_what_get_shows_cannot_be_posted_back(server: Simulator) -> None:
    window = json.loads(ask(server, "/")[1])

    assert "More than one key" in detail(server, "txt2img", window)


# --- replies


def test_a_reply_holds_an_image_of_the_size_asked_for_and_no_metadata(server: Simulator) -> None:
    (data,) = images(server, "txt2img", width=192, height=128)

    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size, image.info) == ("PNG", (192, 128), {})


def test_slashes_in_replies_are_escaped(server: Simulator) -> None:
    raw = ask(server, "/sdapi/v1/txt2img", CLEAN)[1]

    assert b"\\/" in raw
    assert b"/" not in raw.replace(b"\\/", b"")


def test_sizes_are_floored_to_64(server: Simulator) -> None:
    (data,) = images(server, "txt2img", width=255, height=130)

    assert size(data) == (192, 128)


def test_batch_count_and_batch_size_multiply_and_all_images_differ(server: Simulator) -> None:
    made = images(server, "txt2img", n_iter=2, batch_size=3, seed=1)

    assert len(made) == 6
    assert len(set(made)) == 6


def test_the_same_request_gives_the_same_bytes(server: Simulator) -> None:
    assert images(server, "txt2img", seed=5) == images(server, "txt2img", seed=5)


def test_a_negative_seed_is_drawn_anew_each_time(server: Simulator) -> None:
    assert images(server, "txt2img", seed=-1) != images(server, "txt2img", seed=-1)


@pytest.mark.parametrize(("factor", "width"), [(0, 512), (1, 512), (2, 256), (3, 512), (4, 512)])
def test_the_upscaler_runs_last(server: Simulator, factor: int, width: int) -> None:
    (data,) = images(server, "txt2img", upscaler="4x_ultrasharp_f16.ckpt", upscaler_scale=factor)

    assert size(data) == (width, width)


def test_settings_left_out_come_from_the_window() -> None:
    with Simulator("drawthings") as server:
        (plain,) = images(server, "txt2img")
        status, reply = ask(server, "/sdapi/v1/txt2img", {"prompt": "a fox", "width": 128, "height": 128})
    (inherited,) = json.loads(reply)["images"]

    # The fresh window has an upscaler and a LoRA selected, which is exactly how clients are surprised.
    assert status == 200
    assert size(base64.b64decode(inherited)) == (512, 512)
    assert size(plain) == (128, 128)


def test_the_window_can_be_set_up_with_aliases_too() -> None:
    with Simulator("drawthings", options={"cfg_scale": 2.5, "n_iter": 3}) as server:
        window = json.loads(ask(server, "/")[1])
        made = images(server, "txt2img")

    assert (window["guidance_scale"], window["batch_count"]) == (2.5, 3)
    assert len(made) == 3


def test_a_null_prompt_or_model_is_missing_unless_the_app_has_one(server: Simulator) -> None:
    assert "Missing prompt" in detail(server, "txt2img", {**CLEAN, "prompt": None})
    assert "Missing model" in detail(server, "txt2img", {**CLEAN, "model": None})
    with Simulator("drawthings", models=[]) as empty:
        assert "Missing model" in detail(empty, "txt2img", CLEAN)


@pytest.mark.parametrize(
    "change",
    [
        {"guidance_scale": 9},
        {"steps": 7},
        {"sampler": "TCD"},
        {"clip_skip": 2},
        {"refiner_model": "sd_xl_refiner_1.0_f16.ckpt"},
        {"loras": [{"file": "sdxl_render_v2.0_lora_f16.ckpt", "weight": 0.5}]},
        {"loras": [{"file": None, "weight": 0.5}, {"file": "tcd_sd_v1.5_lora_f16.ckpt", "weight": 0.5, "mode": "any"}]},
        {"controls": [CONTROL]},
        {"hires_fix": True, "hires_fix_width": 128, "hires_fix_height": 128, "width": 256, "height": 256},
        {"model": "Juggernaut Reborn (8-bit)"},
        {"negative_prompt": None},
    ],
    ids=str,
)
def test_every_setting_leaves_a_trace_in_the_pixels(server: Simulator, change: dict[str, object]) -> None:
    base = {key: value for key, value in change.items() if key in {"width", "height"}}

    (before,), (after,) = images(server, "txt2img", **base), images(server, "txt2img", **change)

    assert pixels(before) != pixels(after)


@pytest.mark.parametrize("name", ["nobody.ckpt", "sd_xl_base_1.0_f16.ckpt", "sd_v1.5_f16.ckpt"])
def test_a_refiner_that_does_not_fit_is_dropped_without_a_word(server: Simulator, name: str) -> None:
    (data,) = images(server, "txt2img", refiner_model=name)

    assert size(data) == (128, 128)


def test_strength_has_no_effect_on_txt2img(server: Simulator) -> None:
    assert images(server, "txt2img", strength=0.1) == images(server, "txt2img", strength=0.9)


# --- refusals


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"scheduler": "Karras", "hr_scale": 2}, 'Unrecognized keys: ["scheduler", "hr_scale"]'),
        ({"cfg_scale": 5, "guidance_scale": 5}, "More than one key"),
        ({"color_calibration": "none"}, "More than one key"),
        ({"steps": True}, "expected int"),
        ({"steps": 151}, "is not within"),
        ({"sampler": "Euler"}, "is not one of"),
        ({"sampler": None}, "null"),
        ({"upscaler": ""}, "Missing file"),
        ({"upscaler": "4x_x.ckpt"}, "Missing file: 4x_x.ckpt"),
        ({"upscaler": "../4x_ultrasharp_f16.ckpt"}, "Invalid file name"),
        ({"model": "sd_xl_base_1.0"}, "Unrecognized model"),
        ({"loras": [{"file": "none.ckpt", "weight": 1}]}, "Missing file"),
        ({"loras": [{"file": "tcd_sd_v1.5_lora_f16.ckpt"}]}, "weight"),
        ({"loras": "x"}, "expected array"),
        ({"controls": [{**CONTROL, "targetBlocks": None}]}, "targetBlocks"),
        ({"restore_faces": True}, "Missing file"),
        ({"restore_faces": "yes"}, "expected bool"),
        ({"init_images": []}, "not supported for text to image"),
        ({"width": 8192, "height": 8192, "upscaler": "4x_ultrasharp_f16.ckpt"}, "Generation failed"),
    ],
    ids=str,
)
def test_what_the_app_cannot_do_is_a_422(server: Simulator, change: dict[str, object], text: str) -> None:
    assert text in detail(server, "txt2img", {**CLEAN, **change})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"steps": NaN}', b"\xff", b"[" * 100_000], ids=repr)
def test_a_body_that_is_no_json_object_is_a_422(server: Simulator, body: bytes) -> None:
    assert detail(server, "txt2img", body)


# --- img2img


def test_img2img_at_strength_zero_gives_the_init_image_back(server: Simulator) -> None:
    (data,) = images(server, "img2img", init_images=[encoded((128, 128))], strength=0)

    assert pixels(data) == Image.new("RGB", (128, 128), "teal").tobytes()


def test_img2img_repaints_by_strength_and_a_control_holds_it(server: Simulator) -> None:
    sent = [encoded((128, 128), form="JPEG")]
    made = [
        images(server, "img2img", init_images=sent, denoising_strength=0.3)[0],
        images(server, "img2img", init_images=sent, denoising_strength=0.3, controls=[CONTROL])[0],
        images(server, "img2img", init_images=sent, denoising_strength=1.0)[0],
    ]

    assert len({pixels(data) for data in made}) == 3


def test_the_init_image_must_have_exactly_the_size_asked_for_and_height_is_looked_at_first(server: Simulator) -> None:
    wrong = {**CLEAN, "init_images": [encoded((64, 64))]}

    assert "height" in detail(server, "img2img", wrong)
    assert "width" in detail(server, "img2img", {**wrong, "height": 64 * 2, "init_images": [encoded((64, 128))]})


def test_a_size_between_the_steps_is_matched_before_it_is_floored(server: Simulator) -> None:
    (data,) = images(server, "img2img", width=200, height=150, init_images=[encoded((200, 150))], strength=0.3)

    assert size(data) == (192, 128)


@pytest.mark.parametrize("sent", [None, [], 2], ids=str)
def test_any_other_number_of_images_means_the_canvas(server: Simulator, sent: object) -> None:
    change = {} if sent is None else {"init_images": sent if sent == [] else [encoded((8, 8)), encoded((8, 8))]}

    (data,) = images(server, "img2img", strength=0, **change)

    assert pixels(data) == Image.new("RGB", (128, 128), (128, 128, 128)).tobytes()


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (["data:image/png;base64," + encoded((128, 128))], "not valid Base64"),
        ([encoded((128, 128))[:40] + "\n" + encoded((128, 128))[40:]], "not valid Base64"),
        (["aGVsbG8="], "not a valid image"),
        ([encoded((128, 128))[:80]], "not a valid image"),
        ([1], "expected array of string"),
        (None, "expected array of string"),
        ("x", "expected array of string"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_init_images_that_cannot_be_decoded_are_a_422(server: Simulator, sent: object, text: str) -> None:
    assert text in detail(server, "img2img", {**CLEAN, "init_images": sent})


def test_the_models_can_be_chosen_and_the_first_is_selected() -> None:
    with Simulator("drawthings", models=["my_xl.ckpt", "old.ckpt"]) as server:
        window = json.loads(ask(server, "/")[1])
        (first,), (named,), (other,) = (
            images(server, "txt2img"),
            images(server, "txt2img", model="my_xl"),
            images(server, "txt2img", model="old.ckpt"),
        )

    assert window["model"] == "my_xl.ckpt"
    assert first == named != other


def test_controls_in_the_window_are_shown_in_lower_case() -> None:
    control = {**CONTROL, "inputOverride": "Low Quality"}
    with Simulator("drawthings", options={"controls": [control]}) as server:
        window = json.loads(ask(server, "/sdapi/v1/options")[1])

    assert window["controls"][0]["inputOverride"] == "low quality"
