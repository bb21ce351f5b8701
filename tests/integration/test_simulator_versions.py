"""The simulated AUTOMATIC1111 in its versions, and the extensions that have routes or rules of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sdclient.simulator import Simulator
from tests.integration.simulator_talk import SMALL, ask, decoded, encoded, generate, rows


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture(scope="module")
def old() -> Iterator[Simulator]:
    with Simulator(version="1.8") as running:
        yield running


def labels(server: Simulator, **changes: object) -> dict[str, object]:
    """Generate, and give what scripts wrote into the generation text."""
    found = generate(server, **changes).info["extra_generation_params"]
    assert isinstance(found, dict)
    return found


# --- versions


def test_1_8_has_schedules_in_its_sampler_names_and_no_list_of_them(old: Simulator) -> None:
    names = [row["name"] for row in rows(old, "samplers")]

    assert "DPM++ 2M Karras" in names
    assert ask(old, "schedulers").status == 404


def test_1_8_refuses_a_sampler_that_later_versions_replace(old: Simulator, server: Simulator) -> None:
    refused = ask(old, "txt2img", {**SMALL, "sampler_name": "TCD"})

    assert (refused.status, refused.document["detail"]) == (404, "Sampler not found")
    assert generate(server, sampler_name="TCD").info["sampler_name"] == "DPM++ 2M"


def test_1_8_ignores_the_schedule_and_tells_of_none(old: Simulator) -> None:
    heard = generate(old, sampler_name="DPM++ 2M Karras", scheduler="exponential")

    assert heard.info["sampler_name"] == "DPM++ 2M Karras"
    assert "Schedule type" not in str(heard.info["infotexts"])
    assert heard.images[0].tobytes() == generate(old, sampler_name="DPM++ 2M Karras").images[0].tobytes()


def test_1_9_lists_fewer_schedules_than_1_10(server: Simulator) -> None:
    with Simulator(version="1.9") as middle:
        before = {row["name"] for row in rows(middle, "schedulers")}

    assert before < {row["name"] for row in rows(server, "schedulers")}
    assert "karras" in before


@pytest.mark.parametrize(("version", "status"), [("1.8", 422), ("1.9", 200), ("1.10", 200)])
def test_only_1_8_limits_how_much_is_enlarged(version: str, status: int) -> None:
    body = {"image": encoded((8, 8)), "upscaler_1": "Lanczos", "upscaling_resize": 9}
    with Simulator(version=version) as some:
        heard = ask(some, "extra-single-image", body)

    assert heard.status == status


def test_dates_of_extensions_were_text_up_to_1_8(old: Simulator, server: Simulator) -> None:
    dates = [rows(some, "extensions")[0]["commit_date"] for some in (old, server)]

    assert [type(date) for date in dates] == [str, int]


def test_a_version_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no version '2.0' of a1111; choose one of 1.8, 1.9, 1.10"):
        Simulator(version="2.0")


# --- ControlNet's own routes


def test_detect_runs_a_preprocessor_and_gives_its_map(server: Simulator) -> None:
    body = {"controlnet_module": "canny", "controlnet_input_images": [encoded((40, 24))]}
    heard = ask(server, "/controlnet/detect", body)

    assert heard.document["info"] == "Success"
    assert [image.size for image in heard.images] == [(40, 24)]


def test_each_preprocessor_makes_something_of_its_own(server: Simulator) -> None:
    photo = generate(server).document["images"][0]  # type: ignore[index]
    seen = {}
    for name in ("none", "canny", "depth_midas", "blur_gaussian", "invert (from white bg & black line)"):
        body = {"controlnet_module": name, "controlnet_input_images": [photo]}
        seen[name] = ask(server, "/controlnet/detect", body).images[0].tobytes()

    assert len(set(seen.values())) == len(seen)


def test_detecting_poses_tells_them_too(server: Simulator) -> None:
    body = {"controlnet_module": "openpose_full", "controlnet_input_images": [encoded((16, 8))]}
    heard = ask(server, "/controlnet/detect", body)

    assert heard.document["poses"] == [{"people": [], "canvas_width": 16, "canvas_height": 8}]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"controlnet_module": "magic"}, "Module not available"),
        ({"controlnet_module": "canny"}, "No image selected"),
        ({"controlnet_module": "canny", "controlnet_images": [encoded()]}, "No image selected"),
    ],
    ids=["unknown module", "no image", "the key that webuiapi sends"],
)
def test_detect_refuses_what_it_cannot_do(server: Simulator, body: object, detail: str) -> None:
    heard = ask(server, "/controlnet/detect", body)

    assert (heard.status, heard.document["detail"]) == (422, detail)


def test_control_types_group_models_and_preprocessors(server: Simulator) -> None:
    types = ask(server, "/controlnet/control_types").document["control_types"]

    assert types["Tile"]["default_option"] == "tile_resample"  # type: ignore[index]
    assert types["Tile"]["default_model"].startswith("control_v11f1e_sd15_tile")  # type: ignore[index]
    assert types["Canny"]["module_list"] == ["canny"]  # type: ignore[index]


# --- ADetailer


def detailer(args: list[object]) -> dict[str, object]:
    return {"alwayson_scripts": {"ADetailer": {"args": args}}}


FACE = {"ad_model": "face_yolov8n.pt", "ad_denoising_strength": 0.3}


def test_a_detailer_unit_tells_of_itself(server: Simulator) -> None:
    found = labels(server, **detailer([True, False, FACE]))

    assert found["ADetailer model"] == "face_yolov8n.pt"
    assert found["ADetailer denoising strength"] == "0.3"
    assert "ADetailer model 2nd" not in found


def test_further_units_are_numbered_and_cut_at_the_room_there_is(server: Simulator) -> None:
    units = [FACE, {"ad_model": "hand_yolov8n.pt"}, {"ad_model": "mediapipe_face_full"}]
    found = labels(server, **detailer([True, False, *units]))

    assert found["ADetailer model 2nd"] == "hand_yolov8n.pt"
    assert "ADetailer model 3rd" not in found


@pytest.mark.parametrize(
    "unit",
    [
        {**FACE, "ad_mask_k_largest": 0},
        {**FACE, "ad_confidence": 1.5},
        {**FACE, "ad_confidence": "0.3"},
        {**FACE, "ad_mask_k": -1},
        {**FACE, "ad_inpaint_width": 0},
        {**FACE, "ad_mask_merge_invert": "Both"},
        {**FACE, "ad_restore_face": 1},
        {**FACE, "ad_vae": 3},
        {**FACE, "ad_tab_enable": False},
        {"ad_model": "nobody.pt"},
        {"ad_model": "None"},
        {**FACE, "ad_prompt": 3},
    ],
    ids=str,
)
def test_a_wrong_detailer_unit_is_left_out_without_a_word(server: Simulator, unit: dict[str, object]) -> None:
    found = labels(server, **detailer([True, False, unit]))

    assert not [label for label in found if label.startswith("ADetailer")]


def test_the_detailer_can_be_switched_off(server: Simulator) -> None:
    assert "ADetailer model" not in labels(server, **detailer([False, False, FACE]))
    assert "ADetailer model" not in labels(server, **detailer([]))


def test_without_its_switches_the_first_unit_of_the_page_runs_too(server: Simulator) -> None:
    hand = {"ad_model": "hand_yolov8n.pt"}
    found = labels(server, **detailer([True, hand]))

    assert (found["ADetailer model"], found["ADetailer model 2nd"]) == ("hand_yolov8n.pt", "face_yolov8n.pt")


def test_null_is_a_value_where_the_table_says_so(server: Simulator) -> None:
    assert "ADetailer model" in labels(server, **detailer([True, False, {**FACE, "ad_checkpoint": None}]))


# --- what the lists tell about scripts


def test_script_info_gives_the_arguments_in_order(server: Simulator) -> None:
    found = {row["name"]: row for row in rows(server, "script-info")}

    assert found["ultimate sd upscale"]["is_alwayson"] is False
    assert next(row["label"] for row in found["tiled vae"]["args"]) == "enabled"  # type: ignore[attr-defined]
    assert len(found["adetailer"]["args"]) == 4  # type: ignore[arg-type]
    assert set(found) >= set(ask(server, "scripts").document["img2img"])  # type: ignore[call-overload]


def test_a_fault_in_one_extension_leaves_the_others_alone(server: Simulator) -> None:
    scripts = {
        "ControlNet": {"args": [{"enabled": True, "module": "nobody"}]},
        "Tiled Diffusion": {"args": [True, "MultiDiffusion", False, True, 1024, 1024, 96, 96, 8, 4, "nobody"]},
        "ADetailer": {"args": [True, False, FACE]},
    }
    heard = generate(server, "img2img", init_images=[encoded()], alwayson_scripts=scripts)
    found = json.loads(str(heard.document["info"]))["extra_generation_params"]

    assert [label for label in found if label.startswith(("ControlNet", "Tiled"))] == []
    assert found["ADetailer model"] == "face_yolov8n.pt"
    assert len(heard.images) == 1
    assert decoded(str(heard.document["images"][0])).size == (64, 64)  # type: ignore[index]


def test_a_text_where_tiled_diffusion_needs_a_number_is_swallowed(server: Simulator) -> None:
    args = [True, "MultiDiffusion", False, True, 1024, 1024, 96, 96, 8, 4, "Lanczos", "twice"]
    scripts = {"Tiled Diffusion": {"args": args}}
    heard = generate(server, "img2img", init_images=[encoded()], alwayson_scripts=scripts)

    assert heard.images[0].size == (64, 64)
    assert "Tiled Diffusion" not in heard.info["extra_generation_params"]  # type: ignore[operator]
