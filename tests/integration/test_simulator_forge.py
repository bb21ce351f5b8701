"""The simulated Forge: what it does not share with AUTOMATIC1111."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdclient.simulator import Simulator
from sdclient.simulator.facts import array_at, load
from tests.integration.simulator_talk import SMALL, ask, encoded, generate, rows


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with Simulator("forge") as running:
        yield running


def control(**changes: object) -> dict[str, object]:
    unit = {"module": "tile_resample", "model": "control_v11f1e_sd15_tile [a371b31b]", "weight": 0.5, **changes}
    return {"alwayson_scripts": {"ControlNet": {"args": [unit]}}}


def controlled(server: Simulator, **changes: object) -> bool:
    """Tell whether a unit took effect in img2img."""
    heard = generate(server, "img2img", init_images=[encoded()], **control(**changes))
    return "ControlNet 0" in heard.info["extra_generation_params"]  # type: ignore[operator]


# --- routes


def test_modules_take_the_place_of_the_vae_list(server: Simulator) -> None:
    assert ask(server, "sd-vae").status == 404
    assert {frozenset(row) for row in rows(server, "sd-modules")} == {frozenset({"model_name", "filename"})}


@pytest.mark.parametrize("path", ["/controlnet/version", "/controlnet/settings", "train/embedding"])
def test_routes_that_it_lacks_are_404(server: Simulator, path: str) -> None:
    assert ask(server, path).status == 404


def test_samplers_and_schedules_are_those_of_the_table(server: Simulator) -> None:
    samplers = [row["name"] for row in rows(server, "samplers")]
    schedules = rows(server, "schedulers")

    assert samplers == array_at(load("others"), "forge", "samplers", "names")
    assert [row["name"] for row in schedules] == array_at(load("others"), "forge", "samplers", "schedulers")
    assert all(row["label"] for row in schedules)


def test_controlnet_lists_none_among_its_models(server: Simulator) -> None:
    assert ask(server, "/controlnet/model_list").document["model_list"][0] == "None"  # type: ignore[index]
    assert list(ask(server, "/controlnet/module_list").document) == ["module_list"]


def test_its_options_tell_it_from_the_original(server: Simulator) -> None:
    assert "forge_preset" in ask(server, "options").document


# --- errors


def test_an_http_exception_has_only_a_detail_and_no_time_in_a_header(server: Simulator) -> None:
    heard = ask(server, "img2img", SMALL)

    assert (heard.status, heard.document) == (404, {"detail": "Init image not found"})
    assert "x-process-time" not in heard.headers


def test_another_exception_tells_its_text_as_message(server: Simulator) -> None:
    heard = ask(server, "txt2img", {**SMALL, "refiner_checkpoint": "nobody", "refiner_switch_at": 0.8})

    assert heard.status == 500
    assert heard.document == {
        "error": "Exception",
        "detail": "",
        "body": "",
        "message": "Could not find checkpoint with name nobody",
    }


def test_an_unknown_model_in_options_is_a_runtime_error(server: Simulator) -> None:
    heard = ask(server, "options", {"sd_model_checkpoint": "nobody"})

    assert (heard.status, heard.document["error"]) == (500, "RuntimeError")


# --- generation


def test_an_unknown_sampler_is_the_first_of_the_list(server: Simulator) -> None:
    info = generate(server, sampler_name="nobody", scheduler="turbo").info

    assert info["sampler_name"] == "DPM++ 2M"
    assert info["extra_generation_params"]["Schedule type"] == "Turbo"  # type: ignore[index]


def test_hires_fix_needs_the_list_of_modules(server: Simulator) -> None:
    hires = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Lanczos", "denoising_strength": 0.4}
    broken = ask(server, "txt2img", {**SMALL, **hires})
    heard = generate(server, **hires, hr_additional_modules=["Use same choices"])

    assert (broken.status, broken.document["error"]) == (500, "TypeError")
    assert heard.images[0].size == (128, 128)


@pytest.mark.parametrize("key", ["distilled_cfg_scale", "hr_cfg"])
def test_its_own_keys_leave_a_trace_in_the_pixels(server: Simulator, key: str) -> None:
    plain, changed = generate(server), generate(server, **{key: 2.0})

    assert plain.images[0].tobytes() != changed.images[0].tobytes()
    assert changed.document["parameters"][key] == 2.0  # type: ignore[index]


def test_unknown_modules_are_dropped_without_a_word(server: Simulator) -> None:
    def made(*names: str) -> bytes:
        override = {"forge_additional_modules": list(names)}
        return generate(server, override_settings=override).images[0].tobytes()

    assert made("nobody.safetensors") == made()
    assert made("/some/where/clip_l.safetensors") == made("clip_l.safetensors") != made()


# --- ControlNet, built in


def test_a_unit_is_on_unless_it_says_otherwise(server: Simulator) -> None:
    assert controlled(server)
    assert not controlled(server, enabled=False)


@pytest.mark.parametrize(
    ("changes", "effective"),
    [
        ({"model": "control_v11f1e_sd15_tile"}, False),
        ({"module": "None"}, True),
        ({"module": "none"}, False),
        ({"resize_mode": 1, "control_mode": 2}, True),
        ({"resize_mode": "Fit"}, False),
        ({"mask": "no image at all", "low_vram": "yes"}, True),
        ({"weight": "much"}, False),
    ],
    ids=str,
)
def test_units_are_read_in_its_own_way(server: Simulator, changes: dict[str, object], effective: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert controlled(server, **changes) is effective


def test_detected_maps_come_last(server: Simulator) -> None:
    heard = generate(server, "img2img", init_images=[encoded()], **control())

    assert len(heard.images) == 2
    assert len(generate(server, "img2img", init_images=[encoded()], **control(save_detected_map=False)).images) == 1


# --- other extensions


def test_tiled_diffusion_of_the_original_does_not_exist_here(server: Simulator) -> None:
    heard = ask(server, "txt2img", {**SMALL, "alwayson_scripts": {"Tiled Diffusion": {"args": [True]}}})

    assert (heard.status, heard.document) == (422, {"detail": "Script 'Tiled Diffusion' not found"})


def test_the_built_in_extensions_tell_that_they_ran(server: Simulator) -> None:
    scripts = {
        "MultiDiffusion Integrated": {"args": [True, "Mixture of Diffusers", 768, 768, 64, 4]},
        "Never OOM Integrated": {"args": [False, True]},
    }
    labels = generate(server, alwayson_scripts=scripts).info["extra_generation_params"]

    assert labels["multidiffusion_method"] == "Mixture of Diffusers"  # type: ignore[index]
    assert not [label for label in labels if "never" in label]  # type: ignore[attr-defined]


def test_an_extension_that_is_off_tells_nothing(server: Simulator) -> None:
    scripts = {"MultiDiffusion Integrated": {"args": [False]}}
    labels = generate(server, alwayson_scripts=scripts).info["extra_generation_params"]

    assert not [label for label in labels if "multidiffusion" in label]  # type: ignore[attr-defined]


def test_script_info_names_what_is_built_in(server: Simulator) -> None:
    found = {row["name"]: row for row in rows(server, "script-info")}

    assert [row["label"] for row in found["never oom integrated"]["args"]] == [
        "unet_enabled bool false",
        "vae_enabled bool false (always tiled VAE)",
    ]  # type: ignore[attr-defined]


def test_credentials_guard_the_api_alone() -> None:
    with Simulator("forge", auth=("user", "secret")) as guarded:
        refused, open_to_all = ask(guarded, "options"), ask(guarded, "/controlnet/model_list")

    assert (refused.status, refused.document) == (401, {"detail": "Not authenticated"})
    assert open_to_all.status == 200
