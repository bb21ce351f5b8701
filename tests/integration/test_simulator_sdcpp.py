"""The simulated stable-diffusion.cpp: strict types, silent fallbacks, an echo of everything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdclient.simulator import Simulator
from sdclient.simulator.facts import array_at, load
from sdclient.simulator.infotext import parse_parameters, read_parameters
from tests.integration.simulator_talk import SMALL, ask, encoded, generate, rows


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with Simulator("sdcpp") as running:
        yield running


def pixels(server: Simulator, route: str = "txt2img", **changes: object) -> bytes:
    return generate(server, route, **changes).images[0].tobytes()


# --- routes


def test_the_absent_routes_of_the_table_are_404(server: Simulator) -> None:
    absent = [str(path) for path in array_at(load("others"), "stable_diffusion_cpp", "endpoints", "absent")]

    statuses = {path: ask(server, path.removeprefix("POST "), {} if "POST" in path else None).status for path in absent}

    assert set(statuses.values()) == {404}, statuses


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("samplers", {"name", "aliases", "options"}),
        ("schedulers", {"name", "label"}),
        ("upscalers", {"name", "model_name", "model_path", "model_url", "scale"}),
        ("loras", {"name", "path"}),
        ("sd-models", {"title", "model_name", "hash", "sha256", "filename", "config"}),
        ("latent-upscale-modes", {"name"}),
    ],
)
def test_a_list_has_the_shape_of_the_table(server: Simulator, path: str, keys: set[str]) -> None:
    assert {frozenset(row) for row in rows(server, path)} == {frozenset(keys)}


def test_defaults_come_first_and_hashes_are_dummies(server: Simulator) -> None:
    assert rows(server, "samplers")[0]["name"] == "euler_a"
    assert rows(server, "schedulers")[0]["name"] == "discrete"
    assert [row["name"] for row in rows(server, "upscalers")[:3]] == ["None", "Lanczos", "Nearest"]
    assert rows(server, "sd-models")[0]["hash"] == "8888888888"
    assert ask(server, "options").document == {"samples_format": "png", "sd_model_checkpoint": "sd_xl_base_1.0"}


def test_the_native_family_of_routes_is_there(server: Simulator) -> None:
    assert ask(server, "/sdcpp/v1/capabilities").document["modes"] == ["img_gen"]


def test_web_pages_of_every_origin_are_welcome(server: Simulator) -> None:
    heard = ask(server, "options", method="OPTIONS", headers={"Origin": "http://x"})

    assert (heard.status, heard.headers["access-control-allow-origin"]) == (204, "http://x")


# --- errors


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "empty body"),
        ({}, 400, "prompt required"),
        ({"prompt": ""}, 400, "prompt required"),
        ({"prompt": "x", "width": 0}, 400, "width and height must be positive"),
        ({"prompt": "x", "steps": 0}, 400, "invalid params"),
        ({"prompt": "x", "lora": [{"multiplier": 1}]}, 400, "lora.path required"),
        ({"prompt": "x", "lora": [{"path": "nobody.safetensors"}]}, 400, "invalid lora path: nobody.safetensors"),
        (b"{", 500, "server_error"),
        ([1], 500, "server_error"),
        ({"prompt": "x", "steps": None}, 500, "server_error"),
        ({"prompt": "x", "steps": "20"}, 500, "server_error"),
        ({"prompt": 1}, 500, "server_error"),
        ({"prompt": "x", "width": 9000, "height": 9000}, 500, "generate_image returned no results"),
    ],
    ids=str,
)
def test_what_it_refuses_it_tells_in_error(server: Simulator, body: object, status: int, error: str) -> None:
    heard = ask(server, "txt2img", body, method="POST")

    assert (heard.status, heard.document["error"]) == (status, error)
    assert ("message" in heard.document) is (error == "server_error")


# --- generation


def test_the_request_is_echoed_whole(server: Simulator) -> None:
    body = {**SMALL, "init_images": [encoded()], "unknown": [1]}

    assert ask(server, "img2img", body).document["parameters"] == body


def test_info_tells_what_was_used(server: Simulator) -> None:
    info = generate(server, sampler_name="DPM++ 2M", scheduler="karras", negative_prompt="fog", clip_skip=2).info

    assert info["sampler_name"] == "dpm++2m"
    assert info["extra_generation_params"] == {"Schedule type": "karras"}
    assert (info["version"], info["negative_prompt"], info["clip_skip"]) == ("stable-diffusion.cpp", "fog", 2)
    assert not {"subseed", "sd_model_hash", "batch_size", "index_of_first_image", "job_timestamp"} & set(info)


def test_info_leaves_out_what_was_not_asked(server: Simulator) -> None:
    assert not {"negative_prompt", "clip_skip", "denoising_strength"} & set(generate(server).info)


def test_the_image_carries_the_text_of_info(server: Simulator) -> None:
    heard = generate(server)
    text = read_parameters(heard.images[0])

    assert [text] == heard.info["infotexts"]
    assert parse_parameters(text or "")["Sampler"] == "euler_a discrete"


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ({"sampler_name": "euler"}, ("euler", "discrete")),
        ({"sampler_name": "DPM++ 2m sde"}, ("dpm++2m_sde", "discrete")),
        ({"sampler_name": "K_DPMPP_2M"}, ("dpm++2m", "discrete")),
        ({"sampler_name": "nobody", "scheduler": "Karras"}, ("euler_a", "discrete")),
        ({"scheduler": "normal"}, ("euler_a", "discrete")),
        ({"scheduler": "ays"}, ("euler_a", "ays")),
    ],
    ids=str,
)
def test_unknown_samplers_and_schedules_are_the_default_without_a_word(
    server: Simulator, asked: dict[str, object], used: tuple[str, str]
) -> None:
    info = generate(server, **asked).info

    assert (info["sampler_name"], info["extra_generation_params"]["Schedule type"]) == used  # type: ignore[index]


def test_every_a1111_name_of_the_table_is_known() -> None:
    names = array_at(load("others"), "stable_diffusion_cpp", "accepted_a1111_names")
    natives = array_at(load("others"), "stable_diffusion_cpp", "sampler_names")
    ours = load("simulator_others")["sdcpp"]["a1111_names"]  # type: ignore[call-overload, index]

    assert sorted(ours) == sorted(str(name) for name in names)
    assert set(ours.values()) <= set(natives)  # type: ignore[arg-type]


def test_batch_size_counts_and_n_iter_does_not(server: Simulator) -> None:
    heard = generate(server, batch_size=2, n_iter=3)

    assert len(heard.images) == 2
    assert heard.info["all_seeds"] == [3, 4]


def test_a_drawn_seed_is_told(server: Simulator) -> None:
    drawn = generate(server, seed=-1)

    assert pixels(server, seed=drawn.info["seed"]) == drawn.images[0].tobytes()


def test_loras_work_only_by_path_and_after_they_were_listed() -> None:
    change = {"lora": [{"path": "add_more_details.safetensors", "multiplier": 0.8}]}
    with Simulator("sdcpp") as fresh:
        before = ask(fresh, "txt2img", {**SMALL, **change})
        rows(fresh, "loras")
        tinted, plain = pixels(fresh, **change), pixels(fresh)

    assert before.status == 400
    assert tinted != plain


def test_hires_fix_has_keys_of_its_own_and_only_in_txt2img(server: Simulator) -> None:
    hires = {"enable_hr": True, "hr_scale": 1.5, "hr_steps": 4}

    assert generate(server, **hires).images[0].size == (96, 96)
    assert generate(server, **hires, hr_resize_x=128, hr_resize_y=80).images[0].size == (128, 80)
    assert generate(server, "img2img", init_images=[encoded()], **hires).images[0].size == (64, 64)


# --- img2img


def test_img2img_without_an_image_is_no_error(server: Simulator) -> None:
    assert pixels(server, "img2img") == pixels(server)


@pytest.mark.parametrize("image", ["no image", "data:image/png;base64,AAAA"])
def test_an_init_image_that_cannot_be_read_is_passed_over(server: Simulator, image: str) -> None:
    assert pixels(server, "img2img", init_images=[image]) == pixels(server)


def test_the_size_of_the_init_image_counts_where_none_is_asked(server: Simulator) -> None:
    body = {"prompt": "x", "init_images": ["data:image/png;base64," + encoded((96, 40))], "steps": 4}

    assert ask(server, "img2img", body).images[0].size == (96, 40)
    assert ask(server, "img2img", {**body, "width": 64, "height": 64}).images[0].size == (64, 64)


def test_a_mask_limits_what_is_repainted(server: Simulator) -> None:
    common = {"init_images": [encoded()], "denoising_strength": 0.9}
    black = encoded((64, 64), "black")
    kept = generate(server, "img2img", **common, mask=black)
    inverted = generate(server, "img2img", **common, mask=black, inpainting_mask_invert=1)

    assert kept.images[0].convert("RGB").getpixel((5, 5)) == (0, 128, 128)
    assert inverted.images[0].tobytes() == pixels(server, "img2img", **common)


def test_start_up_defaults_can_be_chosen() -> None:
    with Simulator("sdcpp", models=["tiny.gguf"], options={"width": 64, "height": 32, "steps": 3}) as some:
        heard = ask(some, "txt2img", {"prompt": "x", "seed": 1})

    assert heard.images[0].size == (64, 32)
    assert (heard.info["steps"], heard.info["sd_model_name"]) == (3, "tiny")


@pytest.mark.parametrize("settings", [{"auth": ("a", "b")}, {"options": {"nobody": 3}}, {"version": "2"}], ids=str)
def test_a_set_up_that_makes_no_sense_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="sdcpp"):
        Simulator("sdcpp", **settings)  # type: ignore[arg-type]


def test_what_is_no_list_where_a_list_belongs_is_passed_over(server: Simulator) -> None:
    assert pixels(server, "img2img", init_images=None, lora="all") == pixels(server)
