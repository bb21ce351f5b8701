"""The simulated AUTOMATIC1111 over real sockets: lenient bodies, errors of several shapes, the generation reply."""

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
from sdclient.simulator.facts import array_at, load

SMALL: dict[str, object] = {"prompt": "a fox", "seed": 3, "steps": 9, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


def ask(
    server: Simulator, path: str, body: object = None, method: str | None = None, auth: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    headers = {} if auth is None else {"Authorization": "Basic " + base64.b64encode(auth.encode()).decode()}
    request = urllib.request.Request(server.url + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, dict(reply.headers), reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def get(server: Simulator, path: str) -> object:
    status, _, body = ask(server, path)
    assert status == 200, body
    return json.loads(body)


def post(server: Simulator, path: str, body: object) -> dict[str, object]:
    status, _, reply = ask(server, path, body)
    assert status == 200, reply
    return json.loads(reply)


def generate(
    server: Simulator, route: str = "txt2img", **changes: object
) -> tuple[list[Image.Image], dict[str, object]]:
    document = post(server, f"/sdapi/v1/{route}", {**SMALL, **changes})
    assert sorted(document) == ["images", "info", "parameters"]
    return [decoded(text) for text in document["images"]], json.loads(str(document["info"]))  # type: ignore[attr-defined]


def fault(server: Simulator, body: object, route: str = "txt2img") -> tuple[int, str, str]:
    """Post what must fail, and give status, error and text."""
    status, _, reply = ask(server, f"/sdapi/v1/{route}", body)
    document = json.loads(reply)
    assert sorted(document) == ["body", "detail", "error", "errors"]
    return status, document["error"], document["detail"] or document["errors"]


def problems(server: Simulator, body: object, path: str = "/sdapi/v1/txt2img") -> list[tuple[list[str], str]]:
    """Post what validation must refuse, and give the findings."""
    status, _, reply = ask(server, path, body)
    assert status == 422
    return [(found["loc"], found["type"]) for found in json.loads(reply)["detail"]]


def decoded(text: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
    image.load()
    return image


def encoded(size: tuple[int, int] = (64, 64), color: object = "teal", mode: str = "RGB") -> str:
    buffer = io.BytesIO()
    Image.new(mode, size, color).save(buffer, "PNG")  # type: ignore[arg-type]
    return base64.b64encode(buffer.getvalue()).decode()


def control(**changes: object) -> dict[str, object]:
    unit = {"enabled": True, "module": "tile_resample", "model": "tile", "weight": 0.5, **changes}
    return {"alwayson_scripts": {"ControlNet": {"args": [unit]}}}


# --- routes and lists


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("samplers", {"name", "aliases", "options"}),
        ("schedulers", {"name", "label", "aliases", "default_rho", "need_inner_model"}),
        ("upscalers", {"name", "model_name", "model_path", "model_url", "scale"}),
        ("latent-upscale-modes", {"name"}),
        ("sd-models", {"title", "model_name", "hash", "sha256", "filename", "config"}),
        ("sd-vae", {"model_name", "filename"}),
        ("face-restorers", {"name", "cmd_dir"}),
        ("realesrgan-models", {"name", "path", "scale"}),
        ("prompt-styles", {"name", "prompt", "negative_prompt"}),
        ("loras", {"name", "alias", "path", "metadata"}),
        ("extensions", {"name", "remote", "branch", "commit_hash", "version", "commit_date", "enabled"}),
        ("script-info", {"name", "is_alwayson", "is_img2img", "args"}),
    ],
)
def test_a_list_has_entries_of_the_documented_shape(server: Simulator, path: str, keys: set[str]) -> None:
    rows = get(server, f"/sdapi/v1/{path}")

    assert isinstance(rows, list)
    assert rows
    assert all(set(row) == keys for row in rows)


def test_the_first_upscalers_are_the_ones_that_scripts_count_on(server: Simulator) -> None:
    names = [row["name"] for row in get(server, "/sdapi/v1/upscalers")]  # type: ignore[attr-defined]

    assert names[:3] == ["None", "Lanczos", "Nearest"]
    assert "4x-UltraSharp" in names


def test_samplers_carry_no_schedule_in_their_names(server: Simulator) -> None:
    names = [row["name"] for row in get(server, "/sdapi/v1/samplers")]  # type: ignore[attr-defined]

    assert names[0] == "DPM++ 2M"
    assert len(names) == len(set(names))
    assert not any(name.endswith(("Karras", "Exponential")) for name in names)


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/sdapi/v1/embeddings", {"loaded", "skipped"}),
        ("/sdapi/v1/memory", {"ram", "cuda"}),
        ("/sdapi/v1/scripts", {"txt2img", "img2img"}),
        ("/sdapi/v1/progress", {"progress", "eta_relative", "state", "current_image", "textinfo"}),
        ("/internal/ping", set()),
        ("/internal/pending-tasks", {"size", "tasks"}),
        ("/controlnet/version", {"version"}),
        ("/controlnet/settings", {"control_net_unit_count"}),
        ("/controlnet/model_list", {"model_list"}),
        ("/controlnet/module_list", {"module_list", "module_detail"}),
        ("/openapi.json", {"openapi", "info", "paths"}),
    ],
)
def test_an_object_has_the_documented_keys(server: Simulator, path: str, keys: set[str]) -> None:
    document = get(server, path)

    assert isinstance(document, dict)
    assert set(document) == keys


@pytest.mark.parametrize("path", ["hypernetworks", "cmd-flags", "options"])
def test_further_lists_answer(server: Simulator, path: str) -> None:
    assert get(server, f"/sdapi/v1/{path}") is not None


@pytest.mark.parametrize("name", ["refresh-loras", "refresh-embeddings", "refresh-checkpoints", "refresh-vae", "skip"])
def test_refreshing_answers_null(server: Simulator, name: str) -> None:
    assert ask(server, f"/sdapi/v1/{name}", b"")[::2] == (200, b"null")


@pytest.mark.parametrize("name", ["unload-checkpoint", "reload-checkpoint", "interrupt"])
def test_other_commands_answer_an_empty_object(server: Simulator, name: str) -> None:
    assert ask(server, f"/sdapi/v1/{name}", b"")[::2] == (200, b"{}")


def test_every_route_of_the_api_description_exists_and_the_web_page_is_html(server: Simulator) -> None:
    paths = get(server, "/openapi.json")["paths"]  # type: ignore[index]
    known = {route["path"] for route in array_at(load("a1111"), "endpoints") if isinstance(route, dict)}

    assert all(ask(server, path)[0] == 200 for path, methods in paths.items() if "get" in methods)
    assert {path for path in paths if path.startswith("/sdapi/")} <= known
    assert ask(server, "/")[1]["Content-Type"] == "text/html"


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/sdapi/v1/nowhere", 404, b'{"detail": "Not Found"}'),
        ("POST", "/sdapi/v1/server-kill", 404, b'{"detail": "Not Found"}'),
        ("GET", "/sdapi/v1/txt2img", 405, b'{"detail": "Method Not Allowed"}'),
        ("DELETE", "/sdapi/v1/options", 405, b'{"detail": "Method Not Allowed"}'),
    ],
)
def test_unknown_routes_answer_as_the_framework_does(
    server: Simulator, method: str, path: str, status: int, body: bytes
) -> None:
    assert ask(server, path, method=method)[::2] == (status, body)


def test_every_reply_tells_how_long_it_took(server: Simulator) -> None:
    assert float(ask(server, "/sdapi/v1/options")[1]["X-Process-Time"]) >= 0


# --- authentication


def test_credentials_are_asked_for_without_the_usual_header() -> None:
    with Simulator(auth=("user", "secret")) as server:
        missing = ask(server, "/sdapi/v1/options")
        wrong = ask(server, "/sdapi/v1/options", auth="user:wrong")
        right = ask(server, "/sdapi/v1/options", auth="user:secret")

    assert [missing[0], wrong[0], right[0]] == [401, 401, 200]
    assert json.loads(missing[2])["detail"] == "Not authenticated"
    assert json.loads(wrong[2])["detail"] == "Incorrect username or password"
    assert "WWW-Authenticate" not in missing[1] | wrong[1]


def test_credentials_that_are_no_base64_are_wrong_ones() -> None:
    with Simulator(auth=("user", "secret")) as server:
        request = urllib.request.Request(server.url + "/sdapi/v1/options", headers={"Authorization": "Basic é"})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        caught.value.close()

    assert caught.value.code == 401


@pytest.mark.parametrize("path", ["/internal/ping", "/controlnet/version", "/sdapi/v1/loras", "/openapi.json"])
def test_routes_of_extensions_are_open_to_everybody(path: str) -> None:
    with Simulator(auth=("user", "secret")) as server:
        assert ask(server, path)[0] == 200


# --- bodies


def test_unknown_keys_are_ignored(server: Simulator) -> None:
    images, _ = generate(server, guidance_scale=5, nonsense=[])

    assert len(images) == 1


def test_numbers_in_strings_count(server: Simulator) -> None:
    images, info = generate(server, steps="12", width="72", cfg_scale="4")

    assert images[0].size == (72, 64)
    assert (info["steps"], info["cfg_scale"]) == (12, 4.0)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"steps": "many"}, [(["body", "steps"], "type_error.integer")]),
        (
            {"prompt": [], "cfg_scale": {}},
            [(["body", "prompt"], "type_error.str"), (["body", "cfg_scale"], "type_error.float")],
        ),
        ({"send_images": None}, [(["body", "send_images"], "type_error.none.not_allowed")]),
        ({"alwayson_scripts": []}, [(["body", "alwayson_scripts"], "type_error.dict")]),
        ([], [(["body"], "type_error.dict")]),
    ],
    ids=str,
)
def test_wrong_types_are_a_422_with_a_list(server: Simulator, body: object, found: list[object]) -> None:
    assert sorted(problems(server, body)) == sorted(found)  # type: ignore[type-var]


def test_a_body_that_is_no_json_is_a_422_too(server: Simulator) -> None:
    assert problems(server, b"{")[0][1] == "value_error.jsondecode"


@pytest.mark.parametrize("key", ["steps", "width", "cfg_scale", "batch_size", "seed", "n_iter"])
def test_null_for_a_number_passes_the_schema_and_fails_later(server: Simulator, key: str) -> None:
    status, kind, _ = fault(server, {**SMALL, key: None})

    assert (status, kind) == (500, "TypeError")


@pytest.mark.parametrize("key", ["sampler_name", "override_settings", "styles", "denoising_strength", "restore_faces"])
def test_null_is_harmless_where_it_is_the_default(server: Simulator, key: str) -> None:
    assert len(generate(server, **{key: None})[0]) == 1


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"prompt": None}, "AttributeError", "split"),
        ({"steps": 0}, "RuntimeError", "steps"),
        ({"width": 65536, "height": 65536}, "OutOfMemoryError", "out of memory"),
        ({"override_settings": {"no_such_option": 1}}, "KeyError", "no_such_option"),
        ({"override_settings": {"samples_format": "bmp"}}, "HTTPException", "Invalid image format"),
        ({"refiner_checkpoint": "nobody", "refiner_switch_at": 0.7}, "Exception", "nobody"),
        ({"enable_hr": True}, "TypeError", "NoneType"),
        (
            {"enable_hr": True, "denoising_strength": 0.3, "hr_upscaler": "x"},
            "Exception",
            "could not find upscaler named x",
        ),
        ({"enable_hr": True, "denoising_strength": 0.3, "hr_checkpoint_name": "x"}, "Exception", "checkpoint"),
        ({"alwayson_scripts": {"controlnet": {"args": 5}}}, "TypeError", "args"),
    ],
    ids=str,
)
def test_what_breaks_the_generator_is_a_500_with_four_keys(
    server: Simulator, change: dict[str, object], kind: str, text: str
) -> None:
    status, found, message = fault(server, {**SMALL, **change})

    assert (status, found) == (500, kind)
    assert text in message


# --- replies


def test_info_has_every_documented_key(server: Simulator) -> None:
    _, info = generate(server)

    assert set(info) == set(array_at(load("a1111"), "generation_response", "info_keys"))  # type: ignore[arg-type]
    assert info["version"] == "sdclient-simulator"


def test_the_text_in_the_image_is_the_one_in_info(server: Simulator) -> None:
    (image,), info = generate(server, negative_prompt="blurry", sampler_name="Euler a")

    assert [image.info["parameters"]] == info["infotexts"]
    assert image.info["parameters"].startswith(
        "a fox\nNegative prompt: blurry\nSteps: 9, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7.0, Seed: 3, Size: 64x64"
    )


def test_parameters_echo_the_request_with_defaults(server: Simulator) -> None:
    echo = post(server, "/sdapi/v1/txt2img", {**SMALL, "unknown": 1})["parameters"]

    assert isinstance(echo, dict)
    assert (echo["prompt"], echo["cfg_scale"], echo["sampler_index"]) == ("a fox", 7.0, "Euler")
    assert "unknown" not in echo


def test_images_are_counted_by_passes_and_batch_and_seeds_count_up(server: Simulator) -> None:
    images, info = generate(server, n_iter=2, batch_size=2)

    assert len({image.tobytes() for image in images}) == 4
    assert info["all_seeds"] == [3, 4, 5, 6]
    assert [image.info["parameters"] for image in images] == info["infotexts"]


def test_a_variation_keeps_the_seed_and_counts_the_variation_seed(server: Simulator) -> None:
    _, info = generate(server, batch_size=2, subseed=8, subseed_strength=0.2)

    assert (info["all_seeds"], info["all_subseeds"]) == ([3, 3], [8, 9])


def test_a_drawn_seed_is_told_and_can_be_used_again(server: Simulator) -> None:
    (first,), info = generate(server, seed=-1, subseed=1)
    (again,), _ = generate(server, seed=info["seed"], subseed=1)

    assert first.tobytes() == again.tobytes()


def test_the_same_server_seed_draws_the_same_seeds() -> None:
    drawn = []
    for _ in range(2):
        with Simulator(seed=5) as server:
            drawn.append([generate(server, seed=-1)[1]["seed"] for _ in range(2)])

    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[0][1]


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ({"sampler_name": "DPM++ 2M Karras"}, ("DPM++ 2M", "Karras")),
        ({"sampler_name": "DPM++ 2M", "scheduler": "karras"}, ("DPM++ 2M", "Karras")),
        ({"sampler_name": "Euler a", "scheduler": "SGM Uniform"}, ("Euler a", "SGM Uniform")),
        ({"sampler_name": "Euler a", "scheduler": "nobody"}, ("Euler a", "Automatic")),
        ({"sampler_name": "TCD"}, ("DPM++ 2M", "Automatic")),
        ({"sampler_name": "k_euler"}, ("DPM++ 2M", "Automatic")),
        ({"sampler_index": "Heun"}, ("Heun", "Automatic")),
        ({}, ("Euler", "Automatic")),
    ],
    ids=str,
)
def test_unknown_samplers_are_replaced_silently_and_fused_names_split(
    server: Simulator, asked: dict[str, object], used: tuple[str, str]
) -> None:
    _, info = generate(server, **asked)

    assert (info["sampler_name"], info["extra_generation_params"]["Schedule type"]) == used  # type: ignore[index]


@pytest.mark.parametrize(("extension", "form"), [("jpg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_the_format_follows_the_option(server: Simulator, extension: str, form: str) -> None:
    (image,), _ = generate(server, override_settings={"samples_format": extension})

    assert image.format == form


def test_images_can_be_left_out_and_metadata_switched_off(server: Simulator) -> None:
    none, _ = generate(server, send_images=False)
    (plain,), _ = generate(server, override_settings={"enable_pnginfo": False})

    assert none == []
    assert "parameters" not in plain.info


def test_a_grid_comes_first_when_several_images_are_saved(server: Simulator) -> None:
    images, info = generate(server, batch_size=3, save_images=True)
    single, alone = generate(server, save_images=True)

    assert [image.size for image in images] == [(128, 128), (64, 64), (64, 64), (64, 64)]
    assert (info["index_of_first_image"], len(info["infotexts"])) == (1, 4)  # type: ignore[arg-type]
    assert (len(single), alone["index_of_first_image"]) == (1, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"cfg_scale": 4},
        {"steps": 8},
        {"sampler_name": "Heun"},
        {"scheduler": "karras"},
        {"subseed": 4},
        {"tiling": True},
        {"restore_faces": True},
        {"eta": 0.5},
        {"negative_prompt": "blurry"},
        {"styles": ["cinematic"]},
        {"prompt": "a fox <lora:add_more_details:0.7>"},
        {"override_settings": {"CLIP_stop_at_last_layers": 2}},
        {"override_settings": {"sd_model_checkpoint": "juggernaut_reborn"}},
        {"override_settings": {"sd_vae": "sdxl_vae.safetensors"}},
        {"refiner_checkpoint": "sd_xl_refiner_1.0", "refiner_switch_at": 0.7},
        {"enable_hr": True, "denoising_strength": 0.3, "hr_scale": 1},
    ],
    ids=str,
)
def test_every_setting_leaves_a_trace_in_the_pixels(server: Simulator, change: dict[str, object]) -> None:
    (before,), (after,) = generate(server, subseed=3)[0], generate(server, **{"subseed": 3, **change})[0]

    assert before.tobytes() != after.tobytes()


def test_a_vae_is_found_by_its_exact_file_name_alone(server: Simulator) -> None:
    heard = [
        generate(server, subseed=3, override_settings={"sd_vae": name})
        for name in ("sdxl_vae.safetensors", "sdxl_vae", "None")
    ]

    assert [info["sd_vae_name"] for _, info in heard] == ["sdxl_vae.safetensors", None, None]
    assert heard[0][0][0].tobytes() != heard[1][0][0].tobytes() == heard[2][0][0].tobytes()


def test_lora_tags_tint_without_becoming_part_of_the_picture(server: Simulator) -> None:
    prompt = "a fox <lora:add_more_details:0.7> <lora:x:0.5.5>"
    (tinted,), info = generate(server, prompt=prompt)
    (plain,), _ = generate(server, prompt=prompt, disable_extra_networks=True)

    assert info["prompt"] == prompt
    assert tinted.tobytes() != plain.tobytes()


def test_a_pasted_text_fills_what_the_request_leaves_open(server: Simulator) -> None:
    text = "a hill\nNegative prompt: fog\nSteps: 11, Sampler: Heun, CFG scale: 3.5, Seed: 77, Size: 72x80"
    status, _, reply = ask(server, "/sdapi/v1/txt2img", {"infotext": text, "seed": 5})
    info = json.loads(json.loads(reply)["info"])

    assert status == 200
    assert [info[key] for key in ("prompt", "negative_prompt", "steps", "cfg_scale", "seed", "width", "height")] == [
        *("a hill", "fog", 11, 3.5, 5, 72, 80)
    ]


# --- models and options


def test_overrides_last_for_one_request_unless_told_otherwise() -> None:
    other = {"override_settings": {"sd_model_checkpoint": "juggernaut_reborn", "api_enable_requests": False}}
    with Simulator() as server:
        names = [
            generate(server, **other)[1]["sd_model_name"],
            generate(server)[1]["sd_model_name"],
            generate(server, **other, override_settings_restore_afterwards=False)[1]["sd_model_name"],
            generate(server)[1]["sd_model_name"],
        ]

    assert names == ["juggernaut_reborn", "sd_xl_base_1.0", "juggernaut_reborn", "juggernaut_reborn"]


def test_an_unknown_model_in_the_overrides_is_dropped_silently(server: Simulator) -> None:
    _, info = generate(server, override_settings={"sd_model_checkpoint": "nobody"})

    assert info["sd_model_name"] == "sd_xl_base_1.0"


def test_every_spelling_of_a_model_is_taken(server: Simulator) -> None:
    row = get(server, "/sdapi/v1/sd-models")[2]  # type: ignore[index]
    spellings = [row["title"], row["model_name"], row["hash"], row["sha256"], f"{row['model_name']} [{row['hash']}]"]

    used = {generate(server, override_settings={"sd_model_checkpoint": name})[1]["sd_model_name"] for name in spellings}

    assert used == {row["model_name"]}


def test_the_model_can_be_switched_by_post_options() -> None:
    with Simulator(models=["one", "two.ckpt"]) as server:
        before = get(server, "/sdapi/v1/options")["sd_model_checkpoint"]  # type: ignore[index]
        switched = ask(server, "/sdapi/v1/options", {"sd_model_checkpoint": "two", "CLIP_stop_at_last_layers": 2})
        _, info = generate(server)

    assert before.startswith("one.safetensors [")
    assert switched[::2] == (200, b"null")
    assert (info["sd_model_name"], info["clip_skip"]) == ("two", 2)


@pytest.mark.parametrize(
    ("body", "kind"), [({"sd_model_checkpoint": "nobody"}, "RuntimeError"), ({"no_such_option": 1}, "KeyError")]
)
def test_unknown_models_and_options_are_a_500_there(server: Simulator, body: object, kind: str) -> None:
    assert fault(server, body, "options")[:2] == (500, kind)


def test_options_can_be_set_up_from_outside() -> None:
    with Simulator(options={"samples_format": "webp", "forge_thing": 1}) as server:
        (image,), _ = generate(server)
        options = get(server, "/sdapi/v1/options")

    assert image.format == "WEBP"
    assert options["forge_thing"] == 1  # type: ignore[index]


def test_a_server_without_models_still_answers() -> None:
    with Simulator(models=[]) as server:
        _, info = generate(server)

    assert info["sd_model_name"] is None


# --- the second pass


@pytest.mark.parametrize(
    ("change", "size", "label"),
    [
        ({}, (128, 128), ("Hires upscale", "2")),
        ({"hr_scale": 1.5}, (96, 96), ("Hires upscale", "1.5")),
        ({"hr_resize_x": 160}, (160, 160), ("Hires resize", "160x0")),
        ({"hr_resize_y": 96}, (96, 96), ("Hires resize", "0x96")),
        ({"hr_resize_x": 100, "hr_resize_y": 84}, (96, 80), ("Hires resize", "100x84")),
        ({"firstphase_width": 32, "firstphase_height": 32}, (64, 64), ("Hires resize", "64x64")),
    ],
    ids=str,
)
def test_hires_fix_makes_the_size_asked_for(
    server: Simulator, change: dict[str, object], size: tuple[int, int], label: tuple[str, str]
) -> None:
    wish = {"enable_hr": True, "denoising_strength": 0.35, "hr_upscaler": "Lanczos", "hr_second_pass_steps": 4}
    (image,), info = generate(server, **wish, **change)
    extra = info["extra_generation_params"]

    assert image.size == size
    assert isinstance(extra, dict)
    assert extra[label[0]] == label[1]
    assert (extra["Denoising strength"], extra["Hires upscaler"], extra["Hires steps"]) == (0.35, "Lanczos", "4")


def test_a_refiner_that_is_none_or_never_switched_to_is_off(server: Simulator) -> None:
    for wish in (
        {"refiner_checkpoint": "None", "refiner_switch_at": 0.7},
        {"refiner_checkpoint": "sd_xl_refiner_1.0"},
        {"refiner_checkpoint": "sd_xl_refiner_1.0", "refiner_switch_at": 1},
    ):
        assert "Refiner" not in generate(server, **wish)[1]["extra_generation_params"]  # type: ignore[operator]


# --- img2img


def test_img2img_needs_an_init_image(server: Simulator) -> None:
    assert fault(server, SMALL, "img2img") == (404, "HTTPException", "Init image not found")


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_init_images_may_have_a_prefix(server: Simulator, prefix: str) -> None:
    (image,), _ = generate(server, "img2img", init_images=[prefix + encoded()], denoising_strength=0)

    assert image.tobytes() == Image.new("RGB", (64, 64), "teal").tobytes()


@pytest.mark.parametrize("text", ["", "!!!!", "aGVsbG8=", "http://127.0.0.1/x.png", "data:image/png;base64,AAAA"])
def test_an_init_image_that_cannot_be_decoded_is_a_500(server: Simulator, text: str) -> None:
    assert fault(server, {**SMALL, "init_images": [text]}, "img2img") == (500, "HTTPException", "Invalid encoded image")


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_init_images_are_fitted_to_the_size_asked_for(server: Simulator, mode: int) -> None:
    (image,), _ = generate(server, "img2img", init_images=[encoded((96, 40))], resize_mode=mode, denoising_strength=0.2)

    assert image.size == (64, 64)


def test_transparent_init_images_are_laid_on_white(server: Simulator) -> None:
    sent = encoded(color=(255, 0, 0, 0), mode="RGBA")
    (image,), _ = generate(server, "img2img", init_images=[sent], denoising_strength=0)

    assert image.getpixel((5, 5)) == (255, 255, 255)


def test_one_init_image_makes_a_batch_and_too_many_break_it(server: Simulator) -> None:
    one, _ = generate(server, "img2img", init_images=[encoded()], batch_size=2, denoising_strength=0)
    two, _ = generate(
        server, "img2img", init_images=[encoded(), encoded(color="red")], batch_size=2, denoising_strength=0
    )

    assert one[0].tobytes() == one[1].tobytes()
    assert two[0].tobytes() != two[1].tobytes()
    assert fault(server, {**SMALL, "init_images": [encoded()] * 2}, "img2img")[:2] == (500, "RuntimeError")


def test_a_mask_limits_what_is_painted_and_can_be_inverted(server: Simulator) -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    wish = {"init_images": [encoded()], "mask": base64.b64encode(buffer.getvalue()).decode(), "mask_blur": 0}
    (left,), _ = generate(server, "img2img", **wish)
    (right,), _ = generate(server, "img2img", **wish, inpainting_mask_invert=1)

    teal = Image.new("RGB", (1, 1), "teal").getpixel((0, 0))
    assert (left.getpixel((60, 32)), right.getpixel((3, 32))) == (teal, teal)
    assert teal not in (left.getpixel((3, 32)), right.getpixel((60, 32)))


@pytest.mark.parametrize(
    ("options", "modes"),
    [
        (["return_mask"], ["RGB", "RGB"] * 2),
        (["return_mask_composite"], ["RGB", "RGBA"] * 2),
        (["return_mask", "return_mask_composite"], ["RGB", "RGB", "RGBA"] * 2),
    ],
)
def test_masks_come_right_behind_each_image_where_an_option_wants_them(
    server: Simulator, options: list[str], modes: list[str]
) -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    wish = {"init_images": [encoded()], "mask": base64.b64encode(buffer.getvalue()).decode(), "mask_blur": 0}
    plain, _ = generate(server, "img2img", **wish, n_iter=2, seed=7)
    images, info = generate(server, "img2img", **wish, n_iter=2, seed=7, override_settings=dict.fromkeys(options, True))
    without, _ = generate(server, "img2img", init_images=[encoded()], override_settings=dict.fromkeys(options, True))

    assert [image.mode for image in images] == modes
    made = images[:: len(options) + 1]
    assert [image.tobytes() for image in made] == [image.tobytes() for image in plain]
    assert [("parameters" in image.info) for image in images] == [image in made for image in images]
    assert (info["all_seeds"], len(info["infotexts"])) == ([7, 8], 2)  # type: ignore[arg-type]
    assert (images[1].convert("RGBA").getpixel((60, 32)) or ())[3 if modes[1] == "RGBA" else 0] == 0
    assert len(without) == 1


def test_init_images_are_echoed_only_on_request(server: Simulator) -> None:
    body = {**SMALL, "init_images": [encoded()], "denoising_strength": 0}
    echoes = [
        post(server, "/sdapi/v1/img2img", {**body, "include_init_images": wish})["parameters"] for wish in (False, True)
    ]

    assert echoes[0]["init_images"] is None  # type: ignore[index]
    assert echoes[1]["init_images"] == [encoded()]  # type: ignore[index]


# --- scripts


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"script_name": "nobody"}, "Script 'nobody' not found"),
        ({"script_name": "Ultimate SD upscale"}, "Script 'Ultimate SD upscale' not found"),
        ({"alwayson_scripts": {"AnimateDiff": {"args": []}}}, "Script 'AnimateDiff' not found"),
    ],
    ids=str,
)
def test_scripts_that_are_not_there_are_a_422(server: Simulator, change: dict[str, object], text: str) -> None:
    assert fault(server, {**SMALL, **change}) == (422, "HTTPException", text)


def test_a_selectable_script_is_no_always_on_script(server: Simulator) -> None:
    body = {**SMALL, "init_images": [encoded()], "alwayson_scripts": {"SD upscale": {"args": []}}}

    status, _, text = fault(server, body, "img2img")

    assert (status, text) == (422, "Cannot have a selectable script in the always on scripts params")


@pytest.mark.parametrize("saved", [True, False])
def test_a_control_unit_labels_the_text_and_appends_its_map_unless_told_not_to(server: Simulator, saved: bool) -> None:  # noqa: FBT001 - a parameter of the test
    wish = {"init_images": [encoded()], "denoising_strength": 0.4}
    (free,), _ = generate(server, "img2img", **wish)
    images, info = generate(server, "img2img", **wish, **control(save_detected_map=saved))

    assert len(images) == (2 if saved else 1)
    assert images[0].tobytes() != free.tobytes()
    assert "tile_resample" in info["extra_generation_params"]["ControlNet 0"]  # type: ignore[index]
    assert len(info["infotexts"]) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "model",
    ["control_v11f1e_sd15_tile [a371b31b]", "control_v11f1e_sd15_tile", "CONTROL_V11F1E_SD15_TILE", "sd15_tile"],
)
def test_a_control_model_is_matched_by_exact_name_stem_or_part(server: Simulator, model: str) -> None:
    _, info = generate(server, "img2img", init_images=[encoded()], **control(model=model))

    assert "control_v11f1e_sd15_tile [a371b31b]" in info["extra_generation_params"]["ControlNet 0"]  # type: ignore[index]


@pytest.mark.parametrize(
    "unit",
    [
        {"enabled": False},
        {"module": "nobody"},
        {"model": "nobody"},
        {"model": "None"},
        {"weight": 3},
        {"weight": "heavy"},
        {"pixel_perfect": "yes"},
        {"control_mode": 0},
        {"resize_mode": 1},
        {"guidance_start": 0.8, "guidance_end": 0.2},
        {"lowvram": True, "low_vram": True},
        {"image": "not an image"},
    ],
    ids=str,
)
def test_a_wrong_control_unit_is_swallowed_and_has_no_effect(server: Simulator, unit: dict[str, object]) -> None:
    images, info = generate(server, "img2img", init_images=[encoded()], **control(**unit))

    assert len(images) == 1
    assert "ControlNet 0" not in info["extra_generation_params"]  # type: ignore[operator]


@pytest.mark.parametrize(
    "image", [encoded(), [encoded(), None], {"image": encoded(), "mask": None}], ids=["text", "list", "object"]
)
def test_txt2img_takes_a_control_image_in_every_shape(server: Simulator, image: object) -> None:
    images, info = generate(server, **control(image=image, resize_mode="Envelope (Outer Fit)", lowvram=True))

    assert len(images) == 2
    assert "ControlNet 0" in info["extra_generation_params"]  # type: ignore[operator]


def test_txt2img_without_a_control_image_goes_on_without_control(server: Simulator) -> None:
    _, info = generate(server, **control())

    assert "ControlNet 0" not in info["extra_generation_params"]  # type: ignore[operator]


def test_a_fourth_control_unit_is_lost_and_maps_can_be_switched_off(server: Simulator) -> None:
    unit = {"enabled": True, "module": "tile_resample", "model": "tile"}
    wish = {"init_images": [encoded()], "alwayson_scripts": {"controlnet": {"args": [unit] * 4}}}
    images, info = generate(server, "img2img", **wish)
    quiet, _ = generate(server, "img2img", **wish, override_settings={"control_net_no_detectmap": True})

    assert (len(images), len(quiet)) == (4, 1)
    assert "ControlNet 3" not in info["extra_generation_params"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("args", "size", "ran"),
    [
        ([True, "MultiDiffusion", False, True, 1024, 1024, 16, 16, 8, 4, "None"], (96, 80), False),
        ([True, "MultiDiffusion", False, True, 1024, 1024, 16, 16, 8, 4, "4x-UltraSharp", 2], (192, 160), True),
        ([True, "MultiDiffusion", False, True, 1024, 1024, 96, 96, 8, 4, "4x-UltraSharp", 2], (192, 160), False),
        ([True, "MultiDiffusion", False, True, 1024, 1024, 96, 96, 8, 4, "None", 2, True], (96, 80), True),
        ([True, "MultiDiffusion", False, False], (64, 64), False),
        ([True, "MultiDiffusion", False, True, 1024, 1024, 16, 16, 8, 4, "nobody"], (64, 64), False),
        ([False], (64, 64), False),
    ],
    ids=str,
)
def test_tiled_diffusion_may_override_the_size(
    server: Simulator,
    args: list[object],
    size: tuple[int, int],
    ran: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    scripts = {"Tiled Diffusion": {"args": args}, "Tiled VAE": {"args": [True]}}
    (image,), info = generate(server, "img2img", init_images=[encoded((96, 80))], alwayson_scripts=scripts)

    assert image.size == size
    assert ("Tiled Diffusion" in info["extra_generation_params"]) is ran  # type: ignore[operator]


def test_tiled_diffusion_sets_the_size_of_txt2img_when_asked(server: Simulator) -> None:
    scripts = {"Tiled Diffusion": {"args": [True, "MultiDiffusion", True, True, 256, 320]}}

    (image,), _ = generate(server, alwayson_scripts=scripts)

    assert image.size == (256, 320)


def ultimate(**changes: object) -> list[object]:
    rows = [row for row in array_at(load("extensions"), "ultimate_sd_upscale", "args") if isinstance(row, dict)]
    return [changes.get(str(row["name"]), row["default"]) for row in rows]


@pytest.mark.parametrize(
    ("args", "size", "count"),
    [
        (ultimate(), (64, 64), 1),
        (ultimate(target_size_type=1, custom_width=256, custom_height=192), (256, 192), 1),
        (ultimate(target_size_type=2, custom_scale=2, seams_fix_type=1), (192, 192), 2),
    ],
    ids=["request", "custom", "scale"],
)
def test_ultimate_sd_upscale_takes_its_size_from_its_arguments(
    server: Simulator, args: list[object], size: tuple[int, int], count: int
) -> None:
    images, _ = generate(
        server, "img2img", init_images=[encoded((96, 80))], script_name="ultimate sd UPSCALE", script_args=args
    )

    assert [image.size for image in images] == [size] * count


@pytest.mark.parametrize("upscaler", [3, "4x-UltraSharp"])
def test_the_built_in_upscale_script_takes_index_or_name(server: Simulator, upscaler: object) -> None:
    wish = {"script_name": "SD upscale", "script_args": [None, 64, upscaler, 2.0]}

    (image,), _ = generate(server, "img2img", init_images=[encoded((96, 80))], **wish)

    assert image.size == (192, 160)


@pytest.mark.parametrize(
    ("name", "args", "kind"),
    [
        ("SD upscale", [None, 64], "TypeError"),
        ("SD upscale", [None, 64, "nobody", 2], "IndexError"),
        ("SD upscale", [None, 64, 0, "2"], "TypeError"),
        ("Ultimate SD upscale", ultimate()[:17], "TypeError"),
        ("Ultimate SD upscale", ultimate(upscaler_index="Lanczos"), "TypeError"),
        ("Ultimate SD upscale", ultimate(upscaler_index=99), "IndexError"),
        ("Ultimate SD upscale", ultimate(tile_width=0), "ZeroDivisionError"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_errors_inside_a_selectable_script_are_a_500(server: Simulator, name: str, args: object, kind: str) -> None:
    body = {**SMALL, "init_images": [encoded()], "script_name": name, "script_args": args}

    assert fault(server, body, "img2img")[:2] == (500, kind)


# --- extras and png-info


@pytest.mark.parametrize(
    ("change", "size"),
    [
        ({}, (128, 96)),
        ({"upscaling_resize": 4}, (256, 192)),
        ({"upscaler_2": "Lanczos", "extras_upscaler_2_visibility": 0.5}, (128, 96)),
        ({"resize_mode": 1, "upscaling_resize_w": 100, "upscaling_resize_h": 100}, (100, 100)),
        ({"resize_mode": 1, "upscaling_resize_w": 128, "upscaling_resize_h": 48, "upscaling_crop": False}, (128, 96)),
        ({"upscaler_1": "None"}, (64, 48)),
    ],
    ids=str,
)
def test_extras_enlarge_one_image(server: Simulator, change: dict[str, object], size: tuple[int, int]) -> None:
    body = {"image": encoded((64, 48)), "upscaler_1": "4x-UltraSharp", **change}

    document = post(server, "/sdapi/v1/extra-single-image", body)

    assert sorted(document) == ["html_info", "image"]
    assert decoded(str(document["image"])).size == size


def test_extras_keep_the_generation_text(server: Simulator) -> None:
    made = post(server, "/sdapi/v1/txt2img", SMALL)["images"][0]  # type: ignore[index]
    body = {"image": made, "upscaler_1": "Lanczos"}

    enlarged = decoded(str(post(server, "/sdapi/v1/extra-single-image", body)["image"]))

    assert enlarged.info["parameters"] == decoded(made).info["parameters"]


def test_extras_enlarge_a_list(server: Simulator) -> None:
    pictures = [{"data": encoded((8, 8)), "name": "a.png"}, {"data": encoded((16, 8)), "name": "b.png"}]

    document = post(server, "/sdapi/v1/extra-batch-images", {"imageList": pictures, "upscaler_1": "Nearest"})

    assert [decoded(text).size for text in document["images"]] == [(16, 16), (32, 16)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"upscaler_1": "nobody"}, "AssertionError"),
        ({"upscaler_1": "Lanczos", "upscaler_2": "nobody"}, "AssertionError"),
        ({"image": ""}, "HTTPException"),
        ({"resize_mode": 1, "upscaling_resize_w": 90_000, "upscaling_resize_h": 90_000}, "OutOfMemoryError"),
    ],
    ids=str,
)
def test_extras_that_cannot_work_are_a_500(server: Simulator, change: dict[str, object], kind: str) -> None:
    body = {"image": encoded(), "upscaler_1": "Lanczos", **change}

    assert fault(server, body, "extra-single-image")[:2] == (500, kind)


@pytest.mark.parametrize(
    ("route", "body", "code"),
    [
        ("extra-single-image", {"upscaling_resize": 0}, "value_error.number.not_gt"),
        ("extra-single-image", {"resize_mode": 2}, "value_error.const"),
        ("extra-single-image", {"upscaler_1": None}, "type_error.none.not_allowed"),
        ("extra-batch-images", {}, "value_error.missing"),
        ("extra-batch-images", {"imageList": [{"data": "x"}]}, "value_error.missing"),
        ("png-info", {}, "value_error.missing"),
    ],
    ids=str,
)
def test_extras_and_png_info_validate_their_bodies(server: Simulator, route: str, body: object, code: str) -> None:
    assert problems(server, body, f"/sdapi/v1/{route}")[0][1] == code


def test_png_info_reads_the_text_back(server: Simulator) -> None:
    made = post(server, "/sdapi/v1/txt2img", SMALL)["images"][0]  # type: ignore[index]

    found = post(server, "/sdapi/v1/png-info", {"image": "data:image/png;base64," + made})

    assert found["info"] == found["items"]["parameters"]  # type: ignore[index]
    assert found["parameters"]["Steps"] == "9"  # type: ignore[index]
    assert found["parameters"]["Size-2"] == "64"  # type: ignore[index]


def test_png_info_of_an_image_without_a_text_is_empty(server: Simulator) -> None:
    assert post(server, "/sdapi/v1/png-info", {"image": encoded()}) == {"info": "", "items": {}, "parameters": {}}
