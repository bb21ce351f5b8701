"""The simulated SD.Next: JPEG, empty replies, a rate limit, and rules of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from sdclient.simulator import Simulator
from sdclient.simulator.facts import array_at, load, object_at
from sdclient.simulator.infotext import read_parameters
from tests.integration.simulator_talk import SMALL, Heard, ask, encoded, generate, rows


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with Simulator("sdnext", options={"server_rate_limit": 0}) as running:
        yield running


# --- routes


@pytest.mark.parametrize(
    "path", ["interrupt", "skip", "shutdown", "restart", "refresh-checkpoints", "refresh-vae", "refresh-unets", "log"]
)
def test_commands_answer_with_nothing_at_all(server: Simulator, path: str) -> None:
    heard = ask(server, path, {})

    assert (heard.status, heard.body) == (204, b"")
    assert "content-length" not in heard.headers


@pytest.mark.parametrize(
    "path",
    [
        "latent-upscale-modes",
        "hypernetworks",
        "realesrgan-models",
        "sd-modules",
        "/controlnet/model_list",
        "/internal/ping",
    ],
)
def test_routes_that_it_lacks_are_404(server: Simulator, path: str) -> None:
    assert ask(server, path).status == 404


def test_samplers_have_no_aliases_and_schedulers_are_samplers_with_dividers(server: Simulator) -> None:
    names = array_at(load("others"), "sdnext", "samplers", "names")
    schedulers = rows(server, "schedulers")

    assert [row["name"] for row in rows(server, "samplers")] == names
    assert {frozenset(row) for row in rows(server, "samplers")} == {frozenset({"name", "options"})}
    assert {frozenset(row) for row in schedulers} == {frozenset({"name", "cls", "options"})}
    assert any(str(row["name"]).startswith("──") for row in schedulers)


def test_lists_have_shapes_of_their_own(server: Simulator) -> None:
    assert rows(server, "sd-models")[0]["type"] == "safetensors"
    assert isinstance(ask(server, "embeddings").document["loaded"], list)
    assert "control" in ask(server, "scripts").document
    assert ask(server, "version").document["app"] == "sd.next"
    assert ask(server, "control-models").status == 200


def test_progress_has_an_id_and_no_word_about_stopping(server: Simulator) -> None:
    heard = ask(server, "progress")

    assert heard.document["id"] == ""
    assert "stopping_generation" not in heard.document["state"]  # type: ignore[operator]


def test_status_tells_the_time_since_the_start(server: Simulator) -> None:
    heard = ask(server, "status").document

    assert heard["status"] == "idle"
    assert heard["uptime"] >= 0  # type: ignore[operator]


def test_changing_options_tells_what_changed() -> None:
    with Simulator("sdnext") as some:
        heard = ask(some, "options", {"samples_format": "png", "jpeg_quality": 80})
        image = generate(some).images[0]

    assert heard.document == {"updated": [{"samples_format": "png"}, {"jpeg_quality": 80}]}
    assert image.format == "PNG"


# --- authentication and rate


def test_credentials_guard_everything() -> None:
    with Simulator("sdnext", auth=("user", "secret")) as guarded:
        refused = ask(guarded, "/", headers={"Authorization": "Basic eDp5"})
        taken = ask(guarded, "options", headers={"Authorization": "Basic dXNlcjpzZWNyZXQ="})

    assert (refused.status, refused.document["detail"]) == (401, "Unauthorized")
    assert taken.status == 200


def test_over_the_rate_the_work_is_done_and_thrown_away() -> None:
    with Simulator("sdnext", options={"server_rate_limit": 12}) as limited:
        heard = [ask(limited, "txt2img", SMALL) for _ in range(3)]
        others = [ask(limited, "progress") for _ in range(5)]
        made = limited._workshop.finished

    assert [one.status for one in heard] == [200, 200, 429]
    assert sorted(heard[2].document) == ["body", "code", "detail", "error", "errors"]
    assert len(made) == 3
    assert {one.status for one in others} == {200}


# --- generation


def test_replies_are_jpeg_with_the_text_in_exif(server: Simulator) -> None:
    image = generate(server).images[0]

    assert image.format == "JPEG"
    assert (read_parameters(image) or "").startswith("a fox")


def test_what_is_left_open_is_1024_pixels_and_twenty_steps(server: Simulator) -> None:
    heard = ask(server, "txt2img", {"prompt": "x", "send_images": False})

    assert {key: heard.document["parameters"][key] for key in ("width", "height", "steps", "cfg_scale")} == {  # type: ignore[index]
        "width": 1024,
        "height": 1024,
        "steps": 20,
        "cfg_scale": 6.0,
    }


def test_info_lacks_keys_that_the_original_has(server: Simulator) -> None:
    info = generate(server).info

    assert set(info) == set(array_at(load("others"), "sdnext", "info_keys"))


@pytest.mark.parametrize(("change", "used", "text"), [({"clip_skip": 2}, 2, "Clip skip: 2"), ({}, 1, "")])
def test_clip_skip_is_a_key_of_the_request_and_told_as_one(
    server: Simulator, change: dict[str, int], used: int, text: str
) -> None:
    heard = generate(server, **change)

    assert heard.info["clip_skip"] == used
    assert text in str(heard.info["infotexts"])
    assert ("Clip skip" in (read_parameters(heard.images[0]) or "")) is bool(text)


@pytest.mark.parametrize(
    ("asked", "used"),
    [("euler A", "Euler a"), ("k_euler", "Euler"), ("DPM++ 2M", "DPM++ 2M"), ("1", "Euler"), (None, "Default")],
)
def test_samplers_are_matched_in_any_case_or_by_alias(server: Simulator, asked: str | None, used: str) -> None:
    change = {} if asked is None else {"sampler_name": asked}

    assert generate(server, **change).info["sampler_name"] == used


@pytest.mark.parametrize("name", ["DPM++ 2M Karras", "nobody"])
def test_unknown_and_fused_sampler_names_are_404(server: Simulator, name: str) -> None:
    heard = ask(server, "txt2img", {**SMALL, "sampler_name": name})

    assert (heard.status, heard.document["detail"], heard.document["code"]) == (404, "Sampler not found", 404)


def test_keys_of_the_original_that_it_lacks_are_ignored(server: Simulator) -> None:
    heard = generate(server, scheduler="karras", refiner_checkpoint="nobody", refiner_switch_at=0.5, restore_faces=True)

    assert heard.images[0].tobytes() == generate(server).images[0].tobytes()
    assert "scheduler" not in heard.document["parameters"]  # type: ignore[operator]


def test_a_model_can_be_named_in_the_request(server: Simulator) -> None:
    changed = generate(server, sd_model_checkpoint="dreamshaper_8")

    assert changed.images[0].tobytes() != generate(server).images[0].tobytes()


def test_sizes_are_floored_to_eight(server: Simulator) -> None:
    assert generate(server, width=71, height=79).images[0].size == (64, 72)


def test_a_type_error_is_a_bare_string(server: Simulator) -> None:
    heard = ask(server, "txt2img", {**SMALL, "steps": None})

    assert heard.status == 500
    assert isinstance(json.loads(heard.body), str)


def test_other_errors_have_five_keys(server: Simulator) -> None:
    heard = ask(server, "txt2img", {**SMALL, "override_settings": {"nobody": 1}})

    assert (heard.status, heard.document["error"], heard.document["code"]) == (500, "KeyError", 500)


def test_without_a_model_the_reply_is_an_empty_success() -> None:
    with Simulator("sdnext", models=[]) as some:
        heard = generate(some)

    assert (heard.document["images"], heard.document["info"]) == ([], "")


def test_an_interrupted_run_is_an_empty_success_too() -> None:
    heard: list[Heard] = []
    with Simulator("sdnext", delay_s=600.0, options={"server_rate_limit": 0}) as some:
        thread = threading.Thread(target=lambda: heard.append(generate(some)))
        thread.start()
        while ask(some, "status").document["status"] != "running":
            pass
        ask(some, "interrupt", {})
        thread.join(60)

    assert (heard[0].document["images"], heard[0].document["info"]) == ([], "")


# --- img2img


def test_img2img_without_an_image_has_an_error_of_its_own(server: Simulator) -> None:
    heard = ask(server, "img2img", SMALL)

    assert (heard.status, heard.document) == (400, {"error": "Init image is none"})


@pytest.mark.parametrize(("mode", "size"), [(0, (96, 32)), (1, (64, 64))])
def test_resize_mode_0_does_not_resize(server: Simulator, mode: int, size: tuple[int, int]) -> None:
    heard = generate(server, "img2img", init_images=[encoded((96, 32))], resize_mode=mode)

    assert heard.images[0].size == size
    assert heard.document["parameters"]["init_images"] is None  # type: ignore[index]


# --- scripts, extras, control


def test_an_unknown_script_is_ignored_and_an_unknown_always_on_script_is_not(server: Simulator) -> None:
    plain = generate(server, script_name="nobody").images[0]
    refused = ask(server, "txt2img", {**SMALL, "alwayson_scripts": {"ControlNet": {"args": []}}})

    assert plain.size == (64, 64)
    assert (refused.status, str(refused.document["detail"])[:26]) == (422, "Always on script not found")


def test_its_own_ultimate_upscale_takes_a_short_list_in_its_own_order(server: Simulator) -> None:
    args = [512, 0, 8, 32, 64, 0.35, 16, 1, 0, 4, 0, 2, 2048, 2048, 3]
    change = {"script_name": "SD Ultimate Upscale", "script_args": args}
    heard = generate(server, "img2img", init_images=[encoded((64, 64))], **change)

    assert heard.images[0].size == (192, 192)


def test_an_always_on_script_that_is_installed_runs_and_long_arguments_are_cut_in_the_echo(server: Simulator) -> None:
    heard = generate(server, alwayson_scripts={"HyperTile": {"args": ["x" * 2000]}})
    echoed = heard.document["parameters"]["alwayson_scripts"]  # type: ignore[index]

    assert echoed == {"HyperTile": {"args": ["<str 2000>"]}}


def test_extras_need_an_image_and_know_fewer_keys(server: Simulator) -> None:
    refused = ask(server, "extra-single-image", {"upscaler_1": "Lanczos"})
    heard = ask(
        server, "extra-single-image", {"image": encoded((8, 8)), "upscaler_1": "Lanczos", "gfpgan_visibility": "x"}
    )

    assert refused.status == 422
    assert heard.status == 200


def test_control_makes_an_image_under_units(server: Simulator) -> None:
    body = {**SMALL, "inputs": [encoded()], "control": [{"process": "Tile", "model": "Tile", "strength": 0.5}]}
    heard = ask(server, "control", body)

    assert sorted(heard.document) == ["images", "info", "params", "processed"]
    assert len(heard.images) == len(heard.document["processed"]) == 1  # type: ignore[arg-type]


def test_control_without_an_input_is_a_plain_image(server: Simulator) -> None:
    heard = ask(server, "control", {**SMALL, "control": []})

    assert heard.document["processed"] == []
    assert heard.images[0].size == (64, 64)


def test_control_with_an_unknown_model_is_404(server: Simulator) -> None:
    heard = ask(server, "control", {**SMALL, "control": [{"model": "nobody"}]})

    assert heard.status == 404


def test_script_info_gives_its_own_order_of_arguments(server: Simulator) -> None:
    found = {row["name"]: row for row in rows(server, "script-info")}
    labels = [row["label"] for row in found["sd ultimate upscale"]["args"]]  # type: ignore[attr-defined]

    assert (labels[0], labels[7], len(labels)) == ("tile_width", "upscaler_index", 15)


@pytest.mark.parametrize(
    ("keys", "size"),
    [
        ({}, (64, 64)),
        ({"hr_resize_mode": 2}, (128, 128)),
        ({"hr_resize_mode": 2, "hr_upscaler": "None"}, (64, 64)),
        ({"hr_resize_mode": 5, "hr_upscaler": "None"}, (128, 128)),
    ],
)
def test_a_hires_fix_enlarges_only_in_a_resize_mode_and_with_an_upscaler(
    server: Simulator, keys: dict, size: tuple[int, int]
) -> None:
    heard = generate(server, enable_hr=True, denoising_strength=0.4, hr_resize_x=128, hr_resize_y=128, **keys)

    assert [image.size for image in heard.images] == [size]


# --- the table behind it


def test_the_defaults_are_those_the_table_tells() -> None:
    told = object_at(load("others"), "sdnext", "request_defaults_that_differ")
    ours = object_at(load("simulator_others"), "sdnext", "defaults")

    plain = {
        key: value
        for key, value in told.items()
        if not isinstance(value, str) or key in {"sampler_name", "script_name", "hr_sampler_name"}
    }
    assert {key: ours[key] for key in plain} == plain


def named_paths(key: str) -> list[tuple[str, str]]:
    """Read lines such as `POST txt2img, img2img` and plain paths out of the table."""
    found = []
    for line in array_at(load("others"), "sdnext", key):
        method, _, names = str(line).split(" (", 1)[0].partition(" ")
        if method in {"GET", "POST"}:
            found += [(method, name.strip()) for name in names.split(",")]
        else:
            found += [("GET", name.strip()) for name in str(line).split(" (", 1)[0].split(",")]
    return found


def test_every_path_it_shares_with_the_original_is_there(server: Simulator) -> None:
    statuses = {
        name: ask(server, name, [] if method == "POST" else None).status
        for method, name in named_paths("endpoints_same_path")
    }

    assert [name for name, status in statuses.items() if status in {404, 405}] == []


def test_every_path_that_is_absent_is_absent(server: Simulator) -> None:
    statuses = {name: ask(server, name).status for _, name in named_paths("endpoints_absent")}

    assert set(statuses.values()) == {404}, statuses
