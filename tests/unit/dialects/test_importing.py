"""Foreign payloads as ours: by example, and what is said of what cannot be kept."""

import io
import json
import zlib

import pytest
from PIL import Image, PngImagePlugin

from sdclient.dialects import DIALECTS, ServerFacts
from sdclient.dialects.importing import guess_format, import_image, import_payload, snapshot
from sdclient.dialects.importing.a1111 import import_body
from sdclient.dialects.importing.drawthings import canonical_body
from sdclient.dialects.importing.drawthings_forms import body_from_image
from sdclient.dialects.importing.image import import_infotext
from sdclient.errors import PayloadError
from sdclient.infotext import MAX_INFOTEXT_BYTES
from sdclient.infotext.exif import encode_user_comment
from sdclient.schemas import Img2Img, Txt2Img

# D.4 of the recipes: the payload that EMIF's photos were baked with in 2024.
BAKE = {
    "model": "juggernaut_reborn_q6p_q8p.ckpt",
    "sampler": "TCD",
    "stochastic_sampling_gamma": 0.3,
    "steps": 30,
    "strength": 0.3,
    "guidance_scale": 1.5,
    "width": 2048,
    "height": 2048,
    "seed": -1,
    "seed_mode": "Scale Alike",
    "loras": [{"file": "a.ckpt", "weight": 0.7, "mode": "all"}, {"file": "b.ckpt", "weight": 0.5}],
    "controls": [
        {
            "file": "controlnet_tile_1.x_v1.1_f16.ckpt",
            "weight": 0.5,
            "guidanceStart": 0,
            "guidanceEnd": 1,
            "controlImportance": "balanced",
            "downSamplingRate": 1,
            "noPrompt": False,
            "globalAveragePooling": True,
            "targetBlocks": None,
        }
    ],
    "tiled_decoding": True,
    "tiled_diffusion": True,
    "decoding_tile_width": 512,
    "decoding_tile_height": 512,
    "decoding_tile_overlap": 128,
    "diffusion_tile_width": 512,
    "diffusion_tile_height": 512,
    "diffusion_tile_overlap": 128,
    "upscaler": None,
    "refiner_model": "sd_xl_refiner_1.0_f16.ckpt",
    "refiner_start": 0.7,
    "prompt": "x",
    "stage_2_steps": 3,
    "compression_artifacts": "disabled",
}
CONFIG = {
    "seedMode": 2,
    "sampler": 19,
    "model": "ltx_2.3_22b_distilled_q8p.ckpt",
    "guidanceScale": 1,
    "seed": 3658169863,
    "faceRestoration": "",
    "hiresFix": False,
    "refinerModel": "",
    "loras": [],
    "width": 512,
    "height": 384,
    "upscaler": "",
    "steps": 8,
    "strength": 1,
    "compressionArtifactsQuality": 43.1,
    "clipLText": None,
    "stage2Steps": 10,
    "teaCacheEnd": -1,
}
METADATA = {
    "c": "a fox",
    "uc": "blurry",
    "steps": 12,
    "sampler": "TCD Trailing",
    "scale": 4.5,
    "seed": 777,
    "size": "1024x768",
    "model": "sdxl_base.ckpt",
    "strength": 1,
    "seed_mode": "Scale Alike",
    "hires_fix": True,
    "first_stage_size": "640x512",
    "second_stage_strength": 0.6,
    "original_size": "4096x768",
    "lora": [{"model": "detail.ckpt", "weight": 0.6}],
    "control": [{"model": "tile.ckpt", "weight": 0.5}],
    "profile": {"duration": 1},
    "mystery": 1,
}


def own(found) -> dict:
    return dict(found.request.overlays["drawthings"])


def test_a_draw_things_payload_becomes_fields_and_an_overlay() -> None:
    found = import_payload(BAKE)

    assert isinstance(found.request, Img2Img)
    assert found.dialect == "drawthings"
    assert (found.request.steps, found.request.denoising_strength, found.request.size) == (30, 0.3, (2048, 2048))
    assert own(found)["sampler_name"] == "TCD"
    assert own(found)["refiner"] == {"model": "sd_xl_refiner_1.0_f16.ckpt", "switch_at": 0.7}
    assert [lora["model"] for lora in own(found)["loras"]] == ["a.ckpt", "b.ckpt"]
    assert own(found)["controls"][0]["model"] == "controlnet_tile_1.x_v1.1_f16.ckpt"
    assert own(found)["tiled"]["vae"]["width"] == 512
    assert own(found)["native"] == {"stochastic_sampling_gamma": 0.3, "seed_mode": "Scale Alike", "upscaler": None}
    assert found.left_out.keys() == {"stage_2_steps", "compression_artifacts"}


def test_a_copied_configuration_is_read_by_its_camel_case() -> None:
    found = import_payload(CONFIG)

    assert isinstance(found.request, Txt2Img)
    assert (found.request.seed, found.request.cfg_scale, found.request.size) == (3658169863, 1, (512, 384))
    assert own(found)["sampler_name"] == "TCD Trailing"
    assert own(found)["native"]["seed_mode"] == "Scale Alike"
    assert own(found)["native"]["upscaler"] is None
    assert found.left_out.keys() == {"compression_artifacts_quality", "stage2Steps", "tea_cache_end"}


def test_what_draw_things_writes_into_an_image_is_read() -> None:
    found = import_payload(METADATA)

    assert (found.request.prompt, found.request.negative_prompt, found.request.seed) == ("a fox", "blurry", 777)
    assert found.request.size == (1024, 768)
    assert own(found)["hires"] == {"first_width": 640, "first_height": 512, "strength": 0.6}
    assert own(found)["loras"] == [{"model": "detail.ckpt", "weight": 0.6, "mode": "all"}]
    assert own(found)["controls"][0]["weight"] == 0.5
    assert found.left_out.keys() == {"original_width", "profile", "mystery"}


def test_what_draw_things_writes_into_an_image_compiles_back_to_itself() -> None:
    told, _ = body_from_image(METADATA)
    wanted, _ = canonical_body(told)
    request = import_payload(METADATA).request.for_dialect("drawthings")

    sent = DIALECTS["drawthings"].compile(request, ServerFacts("drawthings")).call.body

    assert len(wanted) > 12
    assert {key: sent.get(key) for key in wanted if key not in ("loras", "controls")} == {
        key: value for key, value in wanted.items() if key not in ("loras", "controls")
    }
    for part in ("loras", "controls"):
        (asked,), (row,) = wanted[part], sent[part]
        assert {key: row.get(key) for key in asked} == asked


def test_the_configuration_inside_an_images_metadata_wins_over_its_rounded_list() -> None:
    found = import_payload({**METADATA, "v2": {**CONFIG, "guidanceScale": 4.51, "seed": 777}})

    assert found.request.cfg_scale == 4.51
    assert found.request.size == (1024, 768)


def test_an_init_image_makes_it_img2img_and_comes_along(png) -> None:
    import base64

    text = base64.b64encode(png(128, 64)).decode()
    found = import_payload({"width": 128, "height": 64, "sampler": "DDIM", "init_images": [text]})

    assert found.request.init_image == png(128, 64)
    with pytest.raises(PayloadError, match="exactly one image"):
        import_payload({"sampler": "DDIM", "init_images": []})
    with pytest.raises(PayloadError, match="an image of the payload cannot be read"):
        import_payload({"sampler": "DDIM", "init_images": ["AAAA"]})


def test_the_kind_can_be_said() -> None:
    assert import_payload(BAKE, kind="txt2img").left_out["strength"].startswith("txt2img always")
    assert isinstance(import_payload(CONFIG, kind="img2img").request, Img2Img)


def test_what_our_fields_cannot_say_stays_in_draw_things_own_words() -> None:
    odd_control = {"file": "c.ckpt", "weight": 0.5, "guidanceStart": 0, "guidanceEnd": 1, "noPrompt": True}
    body = {
        "sampler": "DDIM",
        "width": 1024,
        "height": 1024,
        "hires_fix": True,
        "hires_fix_width": 2048,
        "hires_fix_height": 512,
        "upscaler": "u.ckpt",
        "upscaler_scale": 2,
        "loras": [{"file": "a.ckpt", "weight": 20}],
        "shift": 3,
        "resolution_dependent_shift": True,
        "tiled_decoding": True,
        "decoding_tile_width": 500,
        "tiled_diffusion": False,
        "controls": [odd_control],
    }

    overlay = own(import_payload(body))

    assert overlay["enlarge"] == {"model": "u.ckpt", "scale": 2}
    assert overlay["shift"] == 3
    assert not {"hires", "loras", "tiled", "controls"} & overlay.keys()
    native = overlay["native"]
    assert (native["hires_fix_width"], native["loras"][0]["weight"], native["decoding_tile_width"]) == (2048, 20, 500)
    assert native["resolution_dependent_shift"] is True
    assert native["controls"][0]["noPrompt"] is True


def test_a_down_sampling_rate_is_a_tile_units_setting() -> None:
    control = {"file": "c", "weight": 0.5, "guidanceStart": 0, "guidanceEnd": 1, "downSamplingRate": 2}
    control |= {"inputOverride": "Tile"}

    [unit] = own(import_payload({"sampler": "DDIM", "controls": [control]}))["controls"]

    assert (unit["module"], unit["threshold_a"]) == ("tile_resample", 2)


@pytest.mark.parametrize("seed", [2**32, 123456789012345])
def test_a_seed_that_no_field_holds_is_left_out_with_a_word(seed: int) -> None:
    found = import_payload({"prompt": "a fox", "seed": seed, "steps": 2}, form="a1111")

    assert found.left_out == {"seed": f"must be at most 4294967295, and is {seed}: one is drawn in its place"}
    assert found.request.seed is None
    assert found.request.for_dialect("a1111").steps == 2


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param({"sampler_name": "DPM++ 2M Karras"}, ("DPM++ 2M", "Karras"), id="one label"),
        pytest.param({"sampler_index": "DPM++ SDE Karras"}, ("DPM++ SDE", "Karras"), id="under its old key"),
        pytest.param({"sampler_name": "dpm++ sde karras"}, ("DPM++ SDE", "Karras"), id="in small letters"),
        pytest.param({"sampler_name": "euler a"}, ("Euler a", None), id="without a schedule"),
        pytest.param({"sampler_name": "Euler", "scheduler": "sgm_uniform"}, ("Euler", "SGM Uniform"), id="by its name"),
        pytest.param(
            {"sampler_name": "DPM++ 2M Karras", "scheduler": "Exponential"}, ("DPM++ 2M", "Karras"), id="the label wins"
        ),
        pytest.param({"sampler_name": "Euler Dy Karras"}, ("Euler Dy", "Karras"), id="one of an extension's"),
        pytest.param({"sampler_name": "DPM++ 2M Sharp"}, ("DPM++ 2M Sharp", None), id="one of nobody's"),
    ],
)
def test_a_sampler_of_a1111_becomes_the_fields_however_it_is_spelled(told: dict, expected: tuple) -> None:
    found = import_payload({"prompt": "x", "steps": 4, **told}, form="a1111")
    request = found.request.for_dialect("a1111")

    assert (request.sampler_name, request.scheduler) == expected
    assert not request.native


def test_what_our_fields_cannot_say_stays_in_a1111s_own_words() -> None:
    body = {
        "steps": 200,
        "sampler_name": "DPM++ 2M Karras",
        "width": 1000,
        "height": 64,
        "enable_hr": True,
        "hr_resize_x": 512,
        "hr_resize_y": 512,
        "hr_upscaler": "Latent",
        "denoising_strength": 0.4,
        "alwayson_scripts": {"controlnet": {"args": [{"model": "m", "low_vram": True}]}},
        "override_settings": {"CLIP_stop_at_last_layers": 14},
    }

    overlay = import_payload(body, form="a1111").request.overlays["a1111"]

    assert overlay.keys() == {"sampler_name", "scheduler", "native"} | ({"clip_skip"} & overlay.keys())
    native = overlay["native"]
    assert (native["steps"], native["enable_hr"]) == (200, True)
    assert native["alwayson_scripts"]["controlnet"]["args"][0]["low_vram"] is True
    assert native["override_settings"] == {"CLIP_stop_at_last_layers": 14}


def test_one_key_in_two_spellings_is_refused() -> None:
    with pytest.raises(PayloadError, match="the same as guidance_scale"):
        import_payload({"guidance_scale": 1, "cfg_scale": 2, "sampler": "DDIM"})


WEB = {
    "prompt": "a <lora:x:0.5>",
    "steps": 30,
    "cfg_scale": 5,
    "sampler_index": "DPM++ 2M",
    "scheduler": "Karras",
    "seed": -1,
    "width": 960,
    "height": 960,
    "enable_hr": True,
    "hr_resize_x": 1024,
    "hr_resize_y": 1024,
    "hr_upscaler": "Latent",
    "hr_second_pass_steps": 0,
    "denoising_strength": 0.35,
    "override_settings": {"sd_model_checkpoint": "sdxl", "randn_source": "CPU", "CLIP_stop_at_last_layers": 2},
    "refiner_checkpoint": "r",
    "refiner_switch_at": 0.7,
    "s_noise": None,
    "alwayson_scripts": {
        "controlnet": {
            "args": [{"enabled": True, "model": "tile", "weight": 0.5, "save_detected_map": False, "image": None}]
        },
        "ADetailer": {"args": [True, False, {"ad_model": "face.pt", "ad_use_steps": True, "ad_steps": 9}]},
        "Tiled VAE": {"args": [True, 1024, 128, True, True, True, False]},
    },
    "send_images": True,
    "foo": 1,
}


def test_an_a1111_payload_becomes_fields_and_an_overlay() -> None:
    found = import_payload(WEB)
    overlay = found.request.overlays["a1111"]

    assert isinstance(found.request, Txt2Img)
    assert (found.request.size, found.request.seed, found.request.prompt) == ((1024, 1024), None, "a <lora:x:0.5>")
    assert (overlay["model"], overlay["clip_skip"], overlay["sampler_name"]) == ("sdxl", 2, "DPM++ 2M")
    assert overlay["hires"] == {"first_width": 960, "first_height": 960, "strength": 0.35, "upscaler": "Latent"}
    assert overlay["refiner"] == {"model": "r", "switch_at": 0.7}
    assert overlay["controls"][0]["weight"] == 0.5
    assert overlay["adetailer"] == [{"model": "face.pt", "steps": 9}]
    assert overlay["native"] == {
        "hr_second_pass_steps": 0,
        "override_settings": {"randn_source": "CPU"},
        "alwayson_scripts": {"Tiled VAE": {"args": [True, 1024, 128, True, True, True, False]}},
    }
    assert found.left_out.keys() == {"send_images", "foo"}


def test_whole_numbers_that_a_program_wrote_with_a_point_are_kept() -> None:
    unit = {"enabled": True, "model": "m", "processor_res": 512.0, "save_detected_map": False}
    web = {"prompt": "x", "steps": 30.0, "width": 512.0, "alwayson_scripts": {"ControlNet": {"args": [unit]}}}
    found = import_payload(web, form="a1111")
    app = import_payload({"steps": 30.0, "batchCount": 2.0, "guidanceScale": 4.0}, form="drawthings-config")
    wrong = import_payload({"prompt": "x", "steps": 30.5, "width": 1e300}, form="a1111")

    assert (found.request.steps, found.request.width, found.left_out) == (30, 512, {})
    assert found.request.for_dialect("a1111").controls[0].processor_res == 512
    assert (app.request.steps, app.request.n_iter, app.left_out) == (30, 2, {})
    assert wrong.left_out.keys() == {"steps", "width"}


def test_scripts_that_would_fail_in_silence_are_left_out_with_a_word() -> None:
    scripts = {
        "controlnet": {"args": [{"model": "m", "nonsense": 1, "weight": 9}]},
        "tiled vae": {"args": ["yes"]},
        "odd": 7,
    }
    found = import_payload(
        {"prompt": "x", "alwayson_scripts": scripts, "script_name": "SD upscale", "script_args": [1]}, form="a1111"
    )

    assert found.left_out.keys() == {
        "alwayson_scripts.controlnet.args[0].nonsense",
        "alwayson_scripts.controlnet.args[0].weight",
        "alwayson_scripts.tiled vae",
        "alwayson_scripts.odd",
        "script_args",
        "script_name",
    }
    assert found.left_out["alwayson_scripts.tiled vae"] == "[0] (enabled): must be bool, not 'yes'"


def test_img2img_of_a1111_is_known_by_its_keys(png) -> None:
    import base64

    text = base64.b64encode(png(64, 64)).decode()
    found = import_payload(
        {"init_images": [f"data:image/png;base64,{text}"], "mask": text, "inpainting_mask_invert": 1, "resize_mode": 1}
    )

    assert isinstance(found.request, Img2Img)
    assert (found.request.mask, found.request.inpainting_mask_invert) == (png(64, 64), True)
    assert found.request.resize_mode == 1
    with pytest.raises(PayloadError, match="one image is read"):
        import_payload({"init_images": [], "resize_mode": 1})


@pytest.mark.parametrize("form", ["a1111", "forge"])
def test_a_size_that_an_img2img_body_leaves_to_the_server_is_the_servers_own(form: str) -> None:
    open_ = import_payload({"prompt": "x", "denoising_strength": 0.4}, form=form, kind="img2img").request
    named = import_payload({"prompt": "x", "width": 640, "resize_mode": 2}, form=form, kind="img2img").request
    drawn = import_payload({"prompt": "x", "steps": 5}, form=form, kind="txt2img").request

    assert isinstance(open_, Img2Img)
    assert isinstance(named, Img2Img)
    assert (open_.size, open_.resize_mode) == ((512, 512), 0)
    assert (named.size, named.resize_mode) == ((640, 512), 2)
    assert drawn.size is None


@pytest.mark.parametrize(
    ("payload", "form"),
    [
        (BAKE, "drawthings"),
        (CONFIG, "drawthings-config"),
        (METADATA, "drawthings-image"),
        (WEB, "a1111"),
        ({**WEB, "hr_additional_modules": []}, "forge"),
        ({"prompt": "x", "steps": 20}, "a1111"),
        (
            {"prompt": "x", "sampler_name": "TCD", "refiner_start": 0.7, "guidance_scale": 1, "override_settings": {}},
            None,
        ),
        ({**BAKE, "override_settings": {}}, "drawthings"),
        ({"hello": 1}, None),
        ({}, None),
    ],
)
def test_whose_payload_it_is_shows_by_keys_that_only_one_has(payload: dict, form: str | None) -> None:
    if form is not None:
        assert guess_format(payload) == form
        return
    with pytest.raises(PayloadError, match=r"say which with --format|no payload that is known here"):
        guess_format(payload)


def png_with(chunks: dict[str, str], itxt: dict[str, str] | None = None) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, text in chunks.items():
        info.add_text(key, text)
    for key, text in (itxt or {}).items():
        info.add_itxt(key, text)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


TEXT = (
    "a red fox <lora:detail:0.6> <lora:add-more:1>\nNegative prompt: blurry\n"
    "Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5, Seed: 7, Size: 512x768, Model hash: abcdef, "
    'Model: sdxl, VAE: v.safetensors, Clip skip: 2, Lora hashes: "detail: ab", Version: v1.10.1'
)


def test_an_images_own_words_become_a_request() -> None:
    found = import_image(png_with({"parameters": TEXT}))
    request = found.request

    assert isinstance(request, Txt2Img)
    assert (request.prompt, request.negative_prompt) == ("a red fox", "blurry")
    assert [(lora.model, lora.weight) for lora in request.loras] == [("detail", 0.6), ("add-more", 1)]
    assert (request.steps, request.cfg_scale, request.seed, request.size) == (30, 5, 7, (512, 768))
    assert (request.sampler_name, request.scheduler, request.clip_skip) == ("DPM++ 2M", "Karras", 2)
    assert (request.model, request.vae) == ("sdxl", "v.safetensors")
    assert not found.left_out


def test_modules_and_where_seeds_came_from_are_told_as_left_out() -> None:
    labels = {"Module 1": "ae", "Module 2": "clip_l", "Module 3": "t5xxl", "RNG": "CPU"}
    text = ", ".join(
        ["a fox\nSteps: 3, Seed: 7, Size: 512x512", *(f"{name}: {value}" for name, value in labels.items())]
    )

    left = import_image(png_with({"parameters": text})).left_out

    assert list(left) == list(labels)
    assert [("forge_additional_modules" in why, "randn_source" in why) for why in left.values()] == [
        *[(True, False)] * 3, (False, True),
    ]  # fmt: skip
    drawn_small = import_infotext("a fox\nSteps: 3, Seed: 7, RNG: cuda, Version: stable-diffusion.cpp")
    assert "RNG" not in drawn_small.left_out


@pytest.mark.parametrize("form", ["a1111", "forge"])
def test_choices_that_older_versions_counted_become_their_labels(form: str, png) -> None:
    import base64

    image = base64.b64encode(png(64, 64)).decode()
    unit = {"enabled": True, "model": "tile", "module": "tile_resample", "resize_mode": 2, "control_mode": 1}
    body = {"prompt": "x", "width": 64, "height": 64, "denoising_strength": 0.3, "init_images": [image]}

    found = import_payload({**body, "alwayson_scripts": {"controlnet": {"args": [unit]}}}, form=form)

    (ours,) = found.request.for_dialect(form).native[form]["alwayson_scripts"]["controlnet"]["args"]
    assert (ours["resize_mode"], ours["control_mode"]) == ("Resize and Fill", "My prompt is more important")
    assert not found.left_out


@pytest.mark.parametrize(
    ("settings", "size", "hires"),
    [
        ("Size: 512x768, Denoising strength: 0.4, Hires upscale: 2", (1024, 1536), (512, 768, 0.4, None, None)),
        (
            "Size: 512x768, Denoising strength: 0.4, Hires resize: 1024x1536, Hires upscaler: Latent, Hires steps: 9",
            (1024, 1536),
            (512, 768, 0.4, "Latent", 9),
        ),
        ("Size: 512x768, Denoising strength: 0.4, Hires resize: 1024x0", (1024, 1536), (512, 768, 0.4, None, None)),
        ("Size: 1024x1024, Hires first pass: 960x960, Hires strength: 0.3", (1024, 1024), (960, 960, 0.3, None, None)),
    ],
)
def test_a_hires_fix_is_read_as_a1111_and_as_we_write_it(settings: str, size: tuple, hires: tuple) -> None:
    found = import_infotext(f"x\nSteps: 20, {settings}")
    part = found.request.hires

    assert found.request.size == size
    assert (part.first_width, part.first_height, part.strength, part.upscaler, part.steps) == hires
    assert not found.left_out


def test_a_strength_alone_is_img2img() -> None:
    found = import_infotext(
        "x\nSteps: 20, Size: 64x64, Denoising strength: 0.3, Mask blur: 4, Refiner: r [abcdef1234], "
        "Refiner switch at: 0.7, Upscaler: u, Upscale factor: 2, ADetailer version: 25.3.0"
    )

    assert isinstance(found.request, Img2Img)
    assert (found.request.denoising_strength, found.request.mask_blur) == (0.3, 4)
    assert (found.request.refiner.model, found.request.refiner.switch_at) == ("r", 0.7)
    assert (found.request.enlarge.model, found.request.enlarge.scale) == ("u", 2)
    assert found.left_out.keys() == {"ADetailer version"}


def test_loras_units_and_tiles_come_back_as_sdclient_writes_them() -> None:
    found = import_infotext(
        'x\nSteps: 20, Size: 64x64, Denoising strength: 0.3, Lora: "a, b.ckpt: 0.7, c: -1", '
        'ControlNet: "tile.ckpt: 0.5", Tile size: 512x640'
    )

    request = found.request
    assert [(lora.model, lora.weight) for lora in request.loras] == [("a, b.ckpt", 0.7), ("c", -1)]
    assert [(unit.model, unit.weight) for unit in request.controls] == [("tile.ckpt", 0.5)]
    assert (request.tiled.diffusion.width, request.tiled.diffusion.height) == (512, 640)
    assert not found.left_out


def test_a_unit_comes_back_as_the_extension_writes_it() -> None:
    found = import_infotext(
        'x\nSteps: 20, Size: 64x64, Denoising strength: 0.3, ControlNet 0: "Module: tile_resample, '
        "Model: control_v11f1e_sd15_tile [a371b31b], Weight: 0.5, Resize mode: Crop and Resize, Processor res: -1, "
        "Threshold a: 2.0, Threshold b: -1, Guidance start: 0.1, Guidance end: 0.9, Pixel perfect: True, "
        'Control mode: Balanced"'
    )

    (unit,) = found.request.controls
    assert (unit.model, unit.module, unit.weight) == ("control_v11f1e_sd15_tile", "tile_resample", 0.5)
    assert (unit.guidance_start, unit.guidance_end, unit.pixel_perfect) == (0.1, 0.9, True)
    assert (unit.threshold_a, unit.threshold_b, unit.processor_res) == (2.0, None, None)
    assert not found.left_out


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("Lora", "a: much"),
        ("Lora", "a: 0.5, b: 999"),
        ("ControlNet 0", "Module: tile_resample"),
        ("ControlNet 0", "Model: a, Control mode: Whatever"),
        ("Tile size", "1x1"),
    ],
)
def test_parts_that_are_not_understood_are_named(label: str, value: str) -> None:
    found = import_infotext(f'x\nSteps: 20, Size: 64x64, Denoising strength: 0.3, {label}: "{value}"')

    assert found.left_out.keys() == {label}
    assert not found.request.loras
    assert not found.request.controls


def test_the_image_of_a_unit_is_missed_where_no_init_image_steers() -> None:
    found = import_infotext('x\nSteps: 20, Size: 64x64, ControlNet 0: "Module: canny, Model: a, Weight: 1"')

    assert "image" in found.left_out["ControlNet 0"]
    assert not found.request.controls


def test_detectors_are_not_read_back_and_the_field_to_set_is_named() -> None:
    found = import_infotext("a\nSteps: 20, Seed: 1, Size: 64x64, ADetailer model: face.pt, Oddity: 3")

    assert found.left_out == {
        "ADetailer model": "is not read back; set adetailer by hand",
        "Oddity": "no field says it; set it by hand",
    }


@pytest.mark.parametrize("size", ["0x0", "0x512", "512x0"])
def test_a_size_of_nothing_is_none(size: str) -> None:
    found = import_infotext(f"x\nSteps: 20, Size: {size}, Hires resize: 8x8")

    assert (found.request.size, found.request.hires) == (None, None)


def test_an_enlargement_below_zero_is_none() -> None:
    found = import_infotext("x\nSteps: 20, Size: 64x64, Hires upscale: -1e308")

    assert (found.request.size, found.request.hires) == ((64, 64), None)


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description><exif:UserComment><rdf:Alt><rdf:li xml:lang="x-default">'
    "{}</rdf:li></rdf:Alt></exif:UserComment></rdf:Description></x:xmpmeta>"
)


@pytest.mark.parametrize("escape", [True, False])
def test_an_image_of_draw_things_is_read_by_its_xmp(*, escape: bool) -> None:
    import html

    text = json.dumps(METADATA)
    data = png_with({}, {"XML:com.adobe.xmp": XMP.format(html.escape(text) if escape else text)})

    assert import_image(data).request.prompt == "a fox"


def test_json_in_the_parameters_chunk_is_imported_as_such() -> None:
    assert import_image(png_with({"parameters": json.dumps(METADATA)})).dialect == "drawthings"


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "packed iTXt"])
def test_an_image_that_says_more_than_is_read_is_named(kind: str) -> None:
    info = PngImagePlugin.PngInfo()
    if "iTXt" in kind:
        info.add_itxt("parameters", "a" * 2 * MAX_INFOTEXT_BYTES, zip="packed" in kind)
    else:
        info.add_text("parameters", "a" * 2 * MAX_INFOTEXT_BYTES, zip=kind == "zTXt")
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)

    with pytest.raises(
        PayloadError, match=r"^fox\.png: its `parameters` text is too large to be read: more than 1 MiB"
    ):
        import_image(file.getvalue(), what="fox.png")


def webp_with(block: bytes) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "WEBP", exif=block)
    return file.getvalue()


def test_a_webp_whose_comment_is_longer_than_is_read_is_named() -> None:
    data = webp_with(encode_user_comment("a" * (MAX_INFOTEXT_BYTES + 1)))

    with pytest.raises(PayloadError, match=r"^fox\.webp: its `parameters` text is too large to be read"):
        import_image(data, what="fox.webp")


def test_a_comment_of_the_usual_length_is_read_whatever_else_its_block_holds() -> None:
    words = "a fox\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 7, Size: 64x64"
    data = webp_with(encode_user_comment(words) + bytes(4 * MAX_INFOTEXT_BYTES))

    assert import_image(data).request.prompt == "a fox"


def test_an_image_that_says_nothing_is_named() -> None:
    with pytest.raises(PayloadError, match=r"^fox\.png: holds no settings"):
        import_image(png_with({}), what="fox.png")
    with pytest.raises(PayloadError, match="holds no settings"):
        import_image(zlib.compress(b"<exif:UserComment>{broken}</exif:UserComment>"))
    with pytest.raises(PayloadError, match="holds no settings"):
        import_image(b"<exif:UserComment>{broken}</exif:UserComment>")


def test_a_snapshot_of_a_draw_things_window_names_what_cannot_be_sent() -> None:
    window = {"model": "m.ckpt", "width": 1024, "original_width": 0, "color_calibration": "none", "tea_cache_end": -1}

    found = snapshot("drawthings", window)

    assert own(found) == {"model": "m.ckpt"}
    assert found.request.width == 1024
    assert found.left_out.keys() == {"original_width", "color_calibration", "tea_cache_end"}


def test_a_snapshot_of_a1111_keeps_what_changes_an_image() -> None:
    options = {
        "sd_model_checkpoint": "sdxl",
        "sd_vae": "Automatic",
        "CLIP_stop_at_last_layers": 2,
        "randn_source": "GPU",
        "samples_save": True,
        "upscaler_for_img2img": None,
    }

    found = snapshot("a1111", options, "img2img")
    forge = snapshot("forge", {**options, "forge_additional_modules": ["v"]})

    assert isinstance(found.request, Img2Img)
    assert found.request.overlays["a1111"] == {
        "model": "sdxl",
        "vae": "Automatic",
        "clip_skip": 2,
        "native": {"override_settings": {"randn_source": "GPU"}},
    }
    assert found.left_out.keys() == {"samples_save", "upscaler_for_img2img"}
    assert "vae" not in forge.request.overlays["forge"]


@pytest.mark.parametrize(("shown", "overlays"), [("sdxl", {"sdcpp": {"model": "sdxl"}}), ("inactive", {})])
def test_a_snapshot_of_a_small_server_is_its_model(shown: str, overlays: dict) -> None:
    found = snapshot("sdcpp", {"samples_format": "png", "sd_model_checkpoint": shown})

    assert found.request.overlays == overlays
    assert found.left_out.keys() == {"samples_format"}


@pytest.mark.parametrize(("name", "is_on"), [("forge", True), ("a1111", False)])
def test_a_unit_that_does_not_say_whether_it_is_on_keeps_what_the_server_makes_of_it(name: str, *, is_on: bool) -> None:
    body = {"prompt": "x", "alwayson_scripts": {"ControlNet": {"args": [{"model": "tile", "module": "tile_resample"}]}}}

    request = import_body(body, "txt2img", name).request.for_dialect(name)

    units = request.native.get(name, {}).get("alwayson_scripts", {}).get("ControlNet", {}).get("args", [])
    assert [unit.get("enabled") for unit in units] == ([True] if is_on else [None])


def test_a_lora_with_more_than_one_weight_stays_in_the_prompt() -> None:
    found = import_infotext("a fox <lora:detail:0.5>, red <lora:more:1:0.5>\nSteps: 20, Size: 64x64, Version: v1.10.1")

    assert found.request.prompt == "a fox , red <lora:more:1:0.5>"
    assert [(lora.model, lora.weight) for lora in found.request.loras] == [("detail", 0.5)]


@pytest.mark.parametrize("program", ["KoboldCpp", "Draw Things"])
def test_a_tag_that_was_words_where_the_image_was_drawn_stays_words(program: str) -> None:
    found = import_infotext(f"a fox <lora:detail:0.5>\nSteps: 20, Size: 64x64, Version: {program} via sdclient 1.0.0")

    assert (found.request.prompt, found.request.loras) == ("a fox <lora:detail:0.5>", ())


def test_how_a_mask_was_used_becomes_fields() -> None:
    found = import_infotext(
        "a fox\nSteps: 20, Size: 64x64, Denoising strength: 0.4, Mask blur: 4, Tiling: True, Inpaint area: Only masked, "
        "Masked area padding: 16, Mask mode: Inpaint not masked, Masked content: latent noise"
    )
    request = found.request

    assert isinstance(request, Img2Img)
    assert (request.tiling, request.mask_blur) == (True, 4)
    assert (request.inpaint_full_res, request.inpaint_full_res_padding) == (True, 16)
    assert (request.inpainting_mask_invert, request.inpainting_fill) == (True, 2)
    assert not found.left_out


def test_words_about_a_mask_that_are_not_understood_are_left_out_by_name() -> None:
    found = import_infotext("a fox\nSteps: 20, Size: 64x64, Denoising strength: 0.4, Inpaint area: Some, Tiling: maybe")

    assert set(found.left_out) == {"Inpaint area", "Tiling"}


@pytest.mark.parametrize("restorer", ["CodeFormer", "GFPGAN"])
def test_faces_that_were_restored_are_restored_again(restorer: str) -> None:
    found = import_infotext(f"a fox\nSteps: 20, Size: 64x64, Face restoration: {restorer}")

    assert (found.request.restore_faces, found.left_out) == (True, {})


def test_styles_are_said_to_be_in_the_prompt_already() -> None:
    found = import_infotext("a fox, best quality\nSteps: 20, Size: 64x64, Styles: quality")

    assert found.request.styles == ()
    assert "in the prompt already" in found.left_out["Styles"]


def test_an_image_of_stable_diffusion_cpp_may_lack_loras_and_that_is_told() -> None:
    bare = import_infotext("a fox\nSteps: 20, Sampler: euler, Version: stable-diffusion.cpp abc")
    tagged = import_infotext("a fox <lora:x:0.5>\nSteps: 20, Sampler: euler, Version: stable-diffusion.cpp abc")

    assert "writes none into an image" in bare.left_out["LoRAs"]
    assert "writes none into an image" in bare.left_out["hires fix"]
    assert tagged.request.loras
    assert "LoRAs" not in tagged.left_out


def test_a_prompt_is_what_the_server_reads_once_it_has_taken_the_tags_out() -> None:
    found = import_infotext("masterpiece, <lora:detail:0.5>, a fox <lora:b:1>\nSteps: 20, Sampler: Euler")

    assert found.request.prompt == "masterpiece, , a fox"
    assert [lora.model for lora in found.request.loras] == ["detail", "b"]


def test_an_upscaler_without_its_factor_is_told_and_none_is_guessed() -> None:
    found = import_infotext("a fox\nSteps: 20, Upscaler: 4x.ckpt")

    assert found.request.enlarge is None
    assert "Upscaler" in found.left_out
