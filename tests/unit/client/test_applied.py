"""Asked is applied: which differences are differences."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from sdclient.client.applied import find_changes
from sdclient.client.cleaning import clean_text
from sdclient.dialects.base import Call, Compiled, Expected, FollowUp, Loss, ReadReply, Route
from sdclient.schemas import ADetailer, ControlNet, HiresFix, Refiner, Tiled, Tiles, Txt2Img

CALL = Call(Route("POST", "/x"), {})
FOX = Txt2Img(prompt="a fox", width=512, height=512)


def changes(
    asked: dict[str, JsonValue],
    applied: dict[str, JsonValue],
    request: Txt2Img = FOX,
    labels: dict[str, JsonValue] | None = None,
) -> dict[str, JsonValue]:
    info: dict[str, JsonValue] = {} if labels is None else {"extra_generation_params": labels}
    read = ReadReply(("x",), applied=applied, info=info)
    return {one.field: one.applied for one in find_changes(request, Compiled(CALL, asked=asked), read)}


@pytest.mark.parametrize(
    ("name", "asked", "applied"),
    [
        ("steps", 30, 30),
        ("steps", 30, 30.0),
        ("cfg_scale", 7.5, "7.5"),
        ("sampler_name", "DPM++ 2M", "dpm++ 2m"),
        ("sampler_name", "DPM++ 2M Karras", "DPM++ 2M"),
        ("sampler_name", "DPM++ 2M", "DPM++ 2M Karras"),
        ("model", "models/SDXL.safetensors [abc123]", "sdxl"),
        ("model", "0123abcd", "sdxl"),
        ("vae", "sdxl_vae.safetensors", "sdxl_vae"),
    ],
)
def test_the_same_under_another_spelling_is_no_change(name: str, asked: JsonValue, applied: JsonValue) -> None:
    assert changes({name: asked}, {name: applied}) == {}


@pytest.mark.parametrize(
    ("name", "asked", "applied", "shown"),
    [
        ("steps", 30, 20, 20),
        ("steps", 30, True, True),
        ("seed", 7, "many", "many"),
        ("cfg_scale", 7.0, float("nan"), "float"),
        ("steps", 30, 10**400, "int"),
        ("steps", 30, [30], "list"),
        ("model", "xl", "dreamshaper", "dreamshaper"),
        ("model", "dreamshaper_8", "dreamshaper_8_inpainting", "dreamshaper_8_inpainting"),
        ("sampler_name", "DPM++ 2M Karras", "DPM++ 2M Exponential", "DPM++ 2M Exponential"),
        ("sampler_name", "DPM++ 2M Karras", "DPM++ SDE", "DPM++ SDE"),
        ("sampler_name", "Euler", "x" * 999, "x" * 200),
        ("sampler_name", "Euler", "a\ud800b", "a?b"),
    ],
)
def test_what_was_used_instead_is_told_in_a_form_every_record_can_hold(
    name: str, asked: JsonValue, applied: JsonValue, shown: JsonValue
) -> None:
    assert changes({name: asked}, {name: applied}) == {name: shown}


def test_what_the_server_does_not_tell_is_no_change() -> None:
    assert changes({"steps": 30}, {}) == {}


def test_silence_about_a_refiner_is_a_change_only_where_the_server_tells_such_things() -> None:
    request = FOX.replace(refiner=Refiner(model="ref", switch_at=0.7))

    assert changes({}, {}, request) == {}
    assert changes({}, {}, request, labels={}) == {"refiner": None, "switch_at": None}
    assert changes({}, {"refiner": "ref [a1]", "switch_at": "0.7"}, request, labels={}) == {}
    assert changes({}, {"refiner": "other", "switch_at": 0.8}, request, labels={}) == {
        "refiner": "other", "switch_at": 0.8,
    }  # fmt: skip


def test_vae_and_upscaler_are_compared_where_they_were_asked_for() -> None:
    request = FOX.replace(
        vae="a.safetensors", hires=HiresFix(first_width=256, first_height=256, upscaler="4x-UltraSharp")
    )

    assert changes({}, {"vae": "b", "hires_upscaler": "Latent"}, request) == {"vae": "b", "hires_upscaler": "Latent"}
    assert changes({}, {"vae": "b"}, FOX.replace(vae="Automatic")) == {}


@pytest.mark.parametrize(
    ("sent", "info", "lost", "told"),
    [
        ("a.safetensors", {"sd_vae_name": None}, (), [("vae", "a.safetensors", None)]),
        ("a.safetensors", {"sd_vae_name": "a.safetensors"}, (), []),
        ("a.safetensors", {}, (), []),
        ("Automatic", {"sd_vae_name": None}, (), []),
        ("a.safetensors", {"sd_vae_name": None}, (Loss("vae", "dropped", "warning", "no"),), []),
    ],
    ids=["none", "used", "untold", "left open", "lost before"],
)
def test_a_vae_that_was_sent_and_not_loaded_is_a_change_where_replies_name_it(
    sent: str, info: dict[str, JsonValue], lost: tuple[Loss, ...], told: list[tuple[str, JsonValue, JsonValue]]
) -> None:
    compiled = Compiled(Call(Route("POST", "/x"), {"override_settings": {"sd_vae": sent}}), lost)
    read = ReadReply(("x",), info=info)

    found = find_changes(FOX, compiled, read, tells_vae=True)

    assert [(one.field, one.asked, one.applied) for one in found] == told
    assert find_changes(FOX, compiled, read) == ()


UNIT = ControlNet(model="control_tile", module="tile_resample", weight=0.5)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param(
            {"ControlNet 0": "Module: Tile Resample, Model: control_tile [a1], Weight: 0.5, x: y"}, {}, id="used"
        ),
        pytest.param({"ControlNet 0": 'Module: tile_resample, Model: "control_tile", Weight: 0.5'}, {}, id="quoted"),
        pytest.param({}, {"controls[0]": None}, id="not used"),
        pytest.param({"ControlNet Enabled": "True"}, {}, id="an old extension"),
        pytest.param({"ControlNet 0": 7}, {}, id="nonsense"),
        pytest.param(
            {"ControlNet 0": "Model: canny [b], Weight: 1.0"},
            {"controls[0].model": "canny [b]", "controls[0].weight": "1.0"},
            id="another",
        ),
        pytest.param(
            {"ControlNet 0": "Module: none, Model: control_tile [a1]"}, {"controls[0].module": "none"}, id="no module"
        ),
    ],
)
def test_a_control_unit_is_looked_for_among_what_was_done(
    labels: dict[str, JsonValue], expected: dict[str, JsonValue]
) -> None:
    assert changes({}, {}, FOX.replace(controls=[UNIT]), labels=labels) == expected


TEXT = "a fox\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 8, Size: 512x640, Model: other"


def test_what_info_leaves_out_is_read_from_the_infotext() -> None:
    asked: dict[str, JsonValue] = {
        "steps": 30, "sampler_name": "DDIM", "seed": 7, "width": 512, "height": 512, "model": "xl",
    }  # fmt: skip
    read = ReadReply(("x",), infotexts=(TEXT,), applied={"steps": 30})

    found = {one.field: one.applied for one in find_changes(FOX, Compiled(CALL, asked=asked), read)}

    assert found == {"sampler_name": "Euler a", "seed": 8, "height": 640, "model": "other"}


@pytest.mark.parametrize(
    ("body", "came", "expected"),
    [
        pytest.param({"samples_format": "png"}, "JPEG", [("PNG", "JPEG")], id="asked"),
        pytest.param({}, "JPEG", [("PNG", "JPEG")], id="nothing asked"),
        pytest.param({"samples_format": "png"}, "PNG", [], id="as asked"),
        pytest.param({}, None, [], id="not compared"),
        pytest.param({"override_settings": {"samples_format": "jpg"}}, "JPEG", [], id="wanted so"),
        pytest.param({"override_settings": {"samples_format": "webp"}}, "PNG", [("WEBP", "PNG")], id="not as wanted"),
        pytest.param({"samples_format": "jxl"}, "PNG", [], id="a format that is not known here"),
    ],
)
def test_another_format_than_png_or_the_one_asked_for_is_told(
    body: dict[str, JsonValue], came: str | None, expected: list[tuple[str, str]]
) -> None:
    found = find_changes(FOX, Compiled(Call(CALL.route, body)), ReadReply(("x",)), file_format=came)

    assert [(one.asked, one.applied) for one in found] == expected
    assert all(str(one).startswith(f"format: {came} came, not ") for one in found)


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        (None, {"refiner": None, "switch_at": None, "vae": "b"}),
        (Loss("refiner", "dropped", "warning", "no"), {"vae": "b"}),
        (Loss("refiner.model", "dropped", "warning", "no"), {"switch_at": None, "vae": "b"}),
        (Loss("vae", "dropped", "warning", "no"), {"refiner": None, "switch_at": None}),
    ],
    ids=["nothing", "the refiner", "its model", "the vae"],
)
def test_what_a_loss_has_told_is_not_told_again_as_a_change(lost: Loss | None, expected: dict[str, JsonValue]) -> None:
    request = FOX.replace(refiner=Refiner(model="ref", switch_at=0.7), vae="a")
    read = ReadReply(("x",), applied={"vae": "b"}, info={"extra_generation_params": {}})

    found = find_changes(request, Compiled(CALL, losses=() if lost is None else (lost,)), read)

    assert {one.field: one.applied for one in found} == expected


@pytest.mark.parametrize(
    ("maps", "units", "expected"), [(2, 0, [("images", 1, 3)]), (1, 1, []), (2, 1, [("images", 1, 3)]), (0, 0, [])]
)
def test_images_that_nobody_asked_for_are_recorded(maps: int, units: int, expected: list[object]) -> None:
    body: dict[str, JsonValue] = {"alwayson_scripts": {"ControlNet": {"args": [{}] * units}}} if units else {}
    read = ReadReply(("x",), maps=("m",) * maps)

    found = find_changes(FOX, Compiled(Call(CALL.route, body)), read)

    assert [(one.field, one.asked, one.applied) for one in found] == expected
    words = "images: 3 came, 1 was asked for; the others are not saved (in Python: result.maps)"
    assert all(str(one) == words for one in found)


@pytest.mark.parametrize(
    ("body", "more", "expected"),
    [
        ({"width": 512, "height": 500}, {"asked": {"width": 512, "height": 500}}, [("height", 500, 448)]),
        ({"width": 512, "height": 450}, {}, []),
        ({"width": 256, "height": 256, "enable_hr": True, "hr_resize_x": 512, "hr_resize_y": 448}, {}, []),
        (
            {"width": 256, "height": 256, "enable_hr": True, "hr_resize_x": 512, "hr_resize_y": 504},
            {},
            [("height", 504, 448)],
        ),
        ({"width": 256, "height": 256, "enable_hr": True, "hr_scale": 2.0}, {}, []),
        ({"width": 256, "height": 256, "script_name": "SD upscale"}, {}, []),
        ({"width": 256, "height": 256, "upscaler": "4x.ckpt", "upscaler_scale": 3}, {}, []),
        ({"width": 256, "height": 256}, {"expected": Expected(1, (256, 256))}, []),
        ({"width": 256, "height": 256}, {"then": (FollowUp("enlarge", CALL.route, {}, "image", "image", 2.0),)}, []),
        ({}, {}, []),
    ],
)
def test_the_images_own_size_is_compared_where_another_may_come(
    body: dict[str, JsonValue], more: dict[str, object], expected: list[object]
) -> None:
    found = find_changes(FOX, Compiled(Call(CALL.route, body), **more), ReadReply(("x",)), size=(512, 448))  # type: ignore[arg-type]

    assert [(one.field, one.asked, one.applied) for one in found] == expected


SCRIPTED = FOX.replace(
    adetailer=[ADetailer(model="face_yolov8n.pt")], tiled=Tiled(diffusion=Tiles(width=512, height=512))
)


@pytest.mark.parametrize(
    ("side", "labels", "expected"),
    [
        pytest.param(1024, {}, ["adetailer", "tiled.diffusion"], id="both were swallowed"),
        pytest.param(512, {}, ["adetailer"], id="one tile is no tile"),
        pytest.param(1024, {"ADetailer model": "face_yolov8n.pt", "Tiled Diffusion": "{}"}, [], id="both ran"),
    ],
)
def test_an_extension_that_leaves_no_label_did_not_run(
    side: int, labels: dict[str, JsonValue], expected: list[str]
) -> None:
    sent: dict[str, JsonValue] = {"ADetailer": {"args": []}, "Tiled Diffusion": {"args": []}}
    body: dict[str, JsonValue] = {"width": side, "height": side, "alwayson_scripts": sent}
    read = ReadReply(("x",), info={"extra_generation_params": labels})

    found = find_changes(SCRIPTED, Compiled(Call(CALL.route, body)), read)

    assert [(one.field, one.applied) for one in found] == [(name, None) for name in expected]
    assert changes({}, {}, SCRIPTED, labels={}) == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(asked=st.integers() | st.floats(allow_nan=False) | st.text(), applied=json_values)
def test_whatever_a_server_says_it_can_be_recorded(asked: JsonValue, applied: JsonValue) -> None:
    found = changes({"steps": asked, "model": asked}, {"steps": applied, "model": applied})

    assert json.dumps(found, allow_nan=False).encode()


@given(st.text())
def test_clean_text_can_be_written(text: str) -> None:
    assert clean_text(text + "\ud800").encode()
    assert clean_text("hé") == "hé"
