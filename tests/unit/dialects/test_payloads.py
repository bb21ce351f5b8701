"""The payloads that ship, compiled for every server, against the numbers of the systems they come from."""

import pytest

from sdclient.dialects import DIALECTS, ServerFacts
from sdclient.dialects.facts import drawthings_keys
from sdclient.schemas import Img2Img, load_request, payload_names

FACTS = {
    "drawthings": ServerFacts("drawthings", options=dict.fromkeys(drawthings_keys())),
    "a1111": ServerFacts(
        "a1111",
        options={"hires_fix_refiner_pass": "second pass", "sd_model_checkpoint": "x"},
        models=(
            "sd_xl_base_1.0.safetensors [aaaaaaaaa1]",
            "sd_xl_refiner_1.0.safetensors [aaaaaaaaa2]",
            "juggernaut_reborn.safetensors [aaaaaaaaa3]",
        ),
        samplers=("DPM++ 2M", "Euler a", "Euler"),
        schedulers=("karras", "Karras"),
        upscalers=("None", "Lanczos", "4x-UltraSharp"),
        scripts=("controlnet", "tiled diffusion", "tiled vae"),
        controlnet_models=("control_v11f1e_sd15_tile [a371b31b]",),
    ),
}
LORAS = (
    "add_more_details__detail_enhancer___tweaker__lora_f16.ckpt",
    "sdxl_render_v2.0_lora_f16.ckpt",
    "tcd_sd_v1.5_lora_f16.ckpt",
)


@pytest.fixture
def compiled(png):
    def make(name: str, dialect: str, facts: ServerFacts | None = None):
        request = load_request(name).replace(seed=7)
        if dialect == "sdcpp":
            request = request.replace(prompt=request.prompt or "a fox")
        if isinstance(request, Img2Img):
            request = request.replace(init_image=png(*(request.size or (1024, 1024))))
        return DIALECTS[dialect].compile(request.for_dialect(*DIALECTS[dialect].overlay_names), facts or FACTS[dialect])

    return make


CHAIN = (
    "bake",
    "creative-upscale-200",
    "creative-upscale-400",
    "creative-upscale-esrgan",
    "sdxl-refiner-ultrasharp",
)


@pytest.mark.parametrize("dialect", list(FACTS))
@pytest.mark.parametrize("name", CHAIN)
def test_nothing_is_lost_of_the_chain(compiled, name: str, dialect: str) -> None:
    assert not compiled(name, dialect).losses


@pytest.mark.parametrize("dialect", list(DIALECTS))
@pytest.mark.parametrize("name", payload_names())
def test_no_payload_that_ships_is_refused_where_its_files_are_installed(compiled, name: str, dialect: str) -> None:
    losses = compiled(name, dialect, ServerFacts(dialect)).losses

    refused = {loss.field for loss in losses if loss.severity == "error"}
    # The small servers have no upscaler for finished images, and a smaller image is not what was asked for.
    assert refused <= ({"enlarge"} if dialect in ("sdcpp", "koboldcpp") else set())


def test_the_sdxl_chain_on_draw_things(compiled) -> None:
    body = compiled("sdxl-refiner-ultrasharp", "drawthings").call.body

    expected = {
        "model": "sd_xl_base_1.0_f16.ckpt",
        "refiner_model": "sd_xl_refiner_1.0_f16.ckpt",
        "refiner_start": 0.7,
        "sampler": "DPM++ 2M Karras",
        "steps": 30,
        "guidance_scale": 5,
        "seed_mode": "Scale Alike",
        "strength": 1,
        "width": 1024,
        "height": 1024,
        "original_width": 1024,
        "original_height": 1024,
        "target_width": 1024,
        "target_height": 1024,
        "crop_top": 20,
        "crop_left": 20,
        "hires_fix": True,
        "hires_fix_width": 960,
        "hires_fix_height": 960,
        "hires_fix_strength": 0.35,
        "upscaler": "4x_ultrasharp_f16.ckpt",
        "upscaler_scale": 2,
        "batch_size": 1,
        "batch_count": 1,
        "controls": [],
        "loras": [],
        "tiled_decoding": False,
        "decoding_tile_width": 640,
        "decoding_tile_height": 640,
        "decoding_tile_overlap": 128,
        "tiled_diffusion": False,
        "diffusion_tile_width": 1024,
        "diffusion_tile_height": 1024,
        "diffusion_tile_overlap": 128,
        "clip_skip": 1,
        "clip_weight": 1,
        "mask_blur": 1.5,
        "mask_blur_outset": 0,
        "image_guidance": 1.5,
        "stochastic_sampling_gamma": 0.3,
        "sharpness": 0,
        "shift": 1,
        "stage_2_guidance": 1,
        "stage_2_shift": 1,
        "aesthetic_score": 6,
        "negative_aesthetic_score": 2.5,
        "zero_negative_prompt": False,
        "preserve_original_after_inpaint": False,
        "negative_prompt_for_image_prior": True,
        "image_prior_steps": 5,
        "num_frames": 14,
        "fps": 5,
        "motion_scale": 127,
        "guiding_frame_noise": 0.02,
        "start_frame_guidance": 1,
    }
    assert {name: body[name] for name in expected} == expected
    assert body["negative_prompt"]
    assert compiled("sdxl-refiner-ultrasharp", "drawthings").expected.size == (2048, 2048)


def test_the_sdxl_chain_on_a1111(compiled) -> None:
    chain = compiled("sdxl-refiner-ultrasharp", "a1111")
    body = dict(chain.call.body)
    del body["negative_prompt"]

    assert body == {
        "prompt": "",
        "seed": 7,
        "steps": 30,
        "cfg_scale": 5,
        "sampler_name": "DPM++ 2M",
        "scheduler": "Karras",
        "override_settings": {"sd_model_checkpoint": "sd_xl_base_1.0", "hires_fix_refiner_pass": "both passes"},
        "refiner_checkpoint": "sd_xl_refiner_1.0",
        "refiner_switch_at": 0.7,
        "enable_hr": True,
        "width": 960,
        "height": 960,
        "hr_resize_x": 1024,
        "hr_resize_y": 1024,
        "denoising_strength": 0.35,
        "hr_upscaler": "Lanczos",
    }
    assert [step.body for step in chain.then] == [
        {"upscaler_1": "4x-UltraSharp", "upscaling_resize": 2, "resize_mode": 0}
    ]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("daily", {"width": 512, "height": 512, "steps": 50, "cfg_scale": 7.5, "sampler_name": "Euler"}),
        ("story", {"width": 768, "height": 512, "steps": 50, "cfg_scale": 7.5}),
        (
            "interleave",
            {"width": 512, "height": 512, "steps": 50, "cfg_scale": 7.5, "eta": 0.1, "sampler_name": "DDIM"},
        ),
        ("canvas", {"width": 512, "height": 512, "steps": 50, "cfg_scale": 7.5, "prompt": "", "negative_prompt": ""}),
    ],
)
def test_the_other_recipes_draw_with_the_settings_of_the_systems_they_come_from(
    compiled, name: str, wanted: dict[str, object]
) -> None:
    body = compiled(name, "a1111", ServerFacts("a1111")).call.body

    assert {key: body[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("name", "size", "steps", "strength", "tile", "weights"),
    [
        ("bake", 2048, 30, 0.3, 512, (0.7, 0.5, 0.7)),
        ("creative-upscale-200", 2048, 8, 0.4, 1024, (0.6, 1, 1)),
        ("creative-upscale-400", 4096, 8, 0.4, 1024, (0.6, 1, 1)),
    ],
)
def test_the_tiled_img2img_on_draw_things(
    compiled, name: str, size: int, steps: int, strength: float, tile: int, weights: tuple
) -> None:
    body = compiled(name, "drawthings").call.body

    expected = {
        "model": "juggernaut_reborn_q6p_q8p.ckpt",
        "sampler": "TCD",
        "stochastic_sampling_gamma": 0.3,
        "steps": steps,
        "strength": strength,
        "guidance_scale": 1.5,
        "width": size,
        "height": size,
        "loras": [{"file": f, "weight": w, "mode": "all"} for f, w in zip(LORAS, weights, strict=True)],
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
                "targetBlocks": [],
                "inputOverride": "",
            }
        ],
        "tiled_decoding": True,
        "tiled_diffusion": True,
        "upscaler": None,
        "upscaler_scale": 0,
        "hires_fix": False,
        "refiner_model": None,
        "seed_mode": "Scale Alike",
        "clip_skip": 1,
        "shift": 1,
        "sharpness": 0,
        "batch_size": 1,
        "batch_count": 1,
        "zero_negative_prompt": False,
        "preserve_original_after_inpaint": name != "bake",
    }
    for prefix in ("decoding", "diffusion"):
        expected |= {f"{prefix}_tile_width": tile, f"{prefix}_tile_height": tile, f"{prefix}_tile_overlap": 128}
    assert {key: body[key] for key in expected} == expected
    assert len(body["init_images"]) == 1
    assert body["prompt"]


@pytest.mark.parametrize(("name", "strength", "latent"), [("bake", 0.3, 64), ("creative-upscale-200", 0.4, 128)])
def test_the_tiled_img2img_on_a1111(compiled, name: str, strength: float, latent: int) -> None:
    body = compiled(name, "a1111").call.body
    scripts = body["alwayson_scripts"]

    assert body["override_settings"] == {"sd_model_checkpoint": "juggernaut_reborn"}
    assert (body["sampler_name"], body["scheduler"], body["denoising_strength"]) == ("DPM++ 2M", "Karras", strength)
    assert 20 <= body["steps"] <= 30
    assert 5 <= body["cfg_scale"] <= 7
    assert "<lora:more_details:" in body["prompt"]
    assert "tcd" not in body["prompt"]
    assert scripts["Tiled Diffusion"]["args"][6:9] == [latent, latent, 16]
    assert scripts["Tiled VAE"]["args"][:3] == [True, latent * 8, latent]
    (unit,) = scripts["ControlNet"]["args"]
    assert (unit["module"], unit["model"], unit["weight"]) == ("tile_resample", "control_v11f1e_sd15_tile", 0.5)
    assert unit["pixel_perfect"] is True
    assert unit["save_detected_map"] is False


def test_the_first_pass_of_the_creative_upscale_only_enlarges(compiled) -> None:
    app = compiled("creative-upscale-esrgan", "drawthings")
    web = compiled("creative-upscale-esrgan", "a1111")

    assert (app.call.body["width"], app.call.body["height"], app.call.body["strength"]) == (1024, 1024, 0)
    assert (app.call.body["upscaler"], app.call.body["upscaler_scale"]) == ("4x_ultrasharp_f16.ckpt", 2)
    assert (app.call.body["controls"], app.call.body["loras"]) == ([], [])
    assert app.expected.size == (2048, 2048)
    assert (web.call.body["denoising_strength"], web.then[0].body["upscaler_1"]) == (0, "4x-UltraSharp")
