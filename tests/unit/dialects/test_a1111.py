"""A1111: only what was set is sent, and what the server would swallow in silence is refused before."""

import base64
from dataclasses import replace

import pytest

from sdclient.dialects import ServerFacts, dialect_named
from sdclient.dialects.base import Expected, Loss
from sdclient.errors import PayloadError
from sdclient.schemas import ControlNet, Enlarge, HiresFix, Img2Img, Lora, Refiner, Tiled, Tiles, Txt2Img

A1111 = dialect_named("a1111")
UNKNOWN = ServerFacts("a1111")
MODEL = {"model": "sd_xl_base_1.0"}
KNOWN = ServerFacts(
    "a1111",
    options={"sd_model_checkpoint": "x", "hires_fix_refiner_pass": "second pass", "samples_format": "png"},
    models=("sd_xl_base_1.0.safetensors [31e35c80fc]", "xl/sd_xl_refiner_1.0.safetensors [7440042bbd]"),
    samplers=("DPM++ 2M", "DPM++ SDE", "Euler a", "Euler", "DDIM", "LCM"),
    schedulers=("automatic", "Automatic", "karras", "Karras", "sgm_uniform", "SGM Uniform"),
    upscalers=("None", "Lanczos", "Nearest", "4x-UltraSharp"),
    scripts=("controlnet", "tiled diffusion", "tiled vae"),
    controlnet_models=("control_v11f1e_sd15_tile [a371b31b]",),
)


def body_of(request, server: ServerFacts = KNOWN):
    return A1111.compile(request, server).call.body


def losses_of(request, server: ServerFacts = KNOWN) -> dict[str, Loss]:
    return {loss.field: loss for loss in A1111.compile(request, server).losses}


def test_a_size_that_is_rounded_is_not_compared_since_a_loss_has_told_what_it_becomes() -> None:
    found = A1111.compile(Txt2Img(prompt="a fox", width=1001, height=512, **MODEL), KNOWN)

    assert [(loss.field, loss.kind) for loss in found.losses] == [("width", "approximated")]
    assert (found.asked.get("width"), found.asked["height"]) == (None, 512)


def test_only_the_fields_that_were_set_are_sent() -> None:
    assert body_of(Txt2Img(prompt="a fox", steps=30, seed=7)) == {"prompt": "a fox", "steps": 30, "seed": 7}


def test_fields_are_sent_under_their_own_names() -> None:
    values = {
        "prompt": "a",
        "negative_prompt": "b",
        "subseed": 3,
        "subseed_strength": 0.5,
        "steps": 20,
        "cfg_scale": 5.0,
        "width": 512,
        "height": 768,
        "batch_size": 2,
        "n_iter": 3,
        "restore_faces": True,
        "tiling": False,
        "eta": 0.5,
        "styles": ["x"],
        "seed": 9,
    }

    compiled = A1111.compile(Txt2Img(**values, **MODEL), KNOWN)

    assert compiled.call.body == {**values, "override_settings": {"sd_model_checkpoint": "sd_xl_base_1.0"}}
    assert compiled.expected == Expected(images=6, size=(512, 768))
    assert not compiled.losses


def test_model_vae_and_clip_skip_are_options_for_this_request() -> None:
    body = body_of(Txt2Img(vae="v.pt", clip_skip=2, **MODEL))

    assert body["override_settings"] == {
        "sd_model_checkpoint": "sd_xl_base_1.0",
        "sd_vae": "v.pt",
        "CLIP_stop_at_last_layers": 2,
    }


def test_clip_skip_beyond_the_servers_range_is_refused() -> None:
    assert losses_of(Txt2Img(clip_skip=13, **MODEL))["clip_skip"].severity == "error"


def test_no_model_takes_what_is_loaded_and_says_so() -> None:
    assert losses_of(Txt2Img())["model"].severity == "warning"
    assert losses_of(Txt2Img(inherit=True))["model"].severity == "note"
    native = {"a1111": {"override_settings": {"sd_model_checkpoint": "x"}}}
    assert "model" not in losses_of(Txt2Img(native=native))


@pytest.mark.parametrize("name", ["sd_xl_base_1.0", "sd_xl_base_1.0.safetensors", "31e35c80fc", "sd_xl_refiner_1.0"])
def test_a_model_is_known_by_any_of_its_names(name: str) -> None:
    assert not losses_of(Txt2Img(model=name))


def test_a_model_that_is_not_installed_is_refused_with_a_close_name() -> None:
    loss = losses_of(Txt2Img(model="sd_xl_bass_1.0"))["model"]

    assert loss.severity == "error"
    assert loss.message.endswith("did you mean sd_xl_base_1.0.safetensors?")


@pytest.mark.parametrize("name", ["Stable-diffusion", "srv", "31e3"])
def test_a_part_of_a_path_or_a_hash_is_no_name_of_a_model(name: str) -> None:
    server = replace(KNOWN, models=("xl.ckpt", "xl", "/srv/models/Stable-diffusion/xl.ckpt", "31e35c80fc"))

    assert losses_of(Txt2Img(model=name), server)["model"].severity == "error"
    assert not losses_of(Txt2Img(model="31e35c80fc"), server)


def test_names_are_not_checked_where_the_lists_are_not_known() -> None:
    request = Txt2Img(model="x", sampler_name="LCM", enlarge=Enlarge(model="y"), refiner=Refiner(model="z"))

    assert not losses_of(request, UNKNOWN)


@pytest.mark.parametrize(
    ("fields", "server", "field", "close"),
    [
        ({"sampler_name": "DPM++ 2N"}, UNKNOWN, "sampler_name", "did you mean DPM++ 2M"),
        ({"sampler_name": "Euler a", "scheduler": "Karas"}, UNKNOWN, "scheduler", "did you mean Karras?"),
        ({"sampler_name": "Zzz"}, UNKNOWN, "sampler_name", "say nothing"),
        ({"sampler_name": "Eular"}, ServerFacts("a1111", "1.8", schedulers=()), "sampler_name", "did you mean Euler"),
    ],
)
def test_a_name_that_no_version_comes_with_is_doubted_where_the_lists_are_not_known(
    fields: dict, server: ServerFacts, field: str, close: str
) -> None:
    loss = losses_of(Txt2Img(model="x", **fields), server)[field]

    assert (loss.kind, loss.severity) == ("replaced", "warning")
    assert close in loss.message


@pytest.mark.parametrize("name", ["shift", "distilled_cfg_scale"])
def test_what_a1111_does_not_have_is_dropped_and_said(name: str) -> None:
    assert losses_of(Txt2Img(**{name: 3}, **MODEL))[name].kind == "dropped"


def test_a_size_between_the_steps_is_approximated_and_not_expected() -> None:
    request = Txt2Img(width=517, height=512, **MODEL)

    assert "517 becomes 512" in losses_of(request)["width"].message
    assert A1111.compile(request, KNOWN).expected == Expected(images=1, size=None)


@pytest.mark.parametrize(
    ("sampler", "scheduler", "sent"),
    [
        ("DPM++ 2M Karras", None, {"sampler_name": "DPM++ 2M", "scheduler": "Karras"}),
        ("DPM++ 2M", "karras", {"sampler_name": "DPM++ 2M", "scheduler": "Karras"}),
        ("dpm++ 2m", None, {"sampler_name": "DPM++ 2M"}),
        ("Euler A Trailing", None, {"sampler_name": "Euler a", "scheduler": "SGM Uniform"}),
        (None, "sgm_uniform", {"scheduler": "SGM Uniform"}),
    ],
)
def test_sampler_and_schedule_are_two_names(sampler: str | None, scheduler: str | None, sent: dict) -> None:
    body = body_of(Txt2Img(sampler_name=sampler, scheduler=scheduler, **MODEL))

    assert {name: body[name] for name in ("sampler_name", "scheduler") if name in body} == sent


def test_an_unknown_server_gets_two_names() -> None:
    body = body_of(Txt2Img(sampler_name="DPM++ 2M AYS", **MODEL), UNKNOWN)

    assert (body["sampler_name"], body["scheduler"]) == ("DPM++ 2M", "Align Your Steps")


def test_a_schedule_of_draw_things_only_is_approximated() -> None:
    assert losses_of(Txt2Img(sampler_name="Euler A Trailing", **MODEL))["sampler_name"].severity == "note"
    assert losses_of(Txt2Img(sampler_name="Euler A Substep", **MODEL))["sampler_name"].severity == "warning"
    assert "scheduler" not in body_of(Txt2Img(sampler_name="Euler A Substep", **MODEL))


@pytest.mark.parametrize(
    ("values", "field", "hint"),
    [
        ({"sampler_name": "Euler b"}, "sampler_name", "did you mean Euler"),
        ({"sampler_name": "TCD"}, "sampler_name", "LCM with an LCM LoRA comes nearest"),
        ({"sampler_name": "Euler", "scheduler": "Karass"}, "scheduler", "did you mean Karras"),
        ({"sampler_name": "Euler Exponential"}, "sampler_name", "this server has no schedule 'Exponential'"),
        ({"scheduler": "zzzz"}, "scheduler", "it has automatic, Automatic, karras"),
    ],
)
def test_a_name_that_the_server_would_swallow_is_refused(values: dict, field: str, hint: str) -> None:
    loss = losses_of(Txt2Img(**values, **MODEL))[field]

    assert loss.severity == "error"
    assert hint in loss.message


class TestBefore19:
    """Versions without schedules have fused names."""

    OLD = ServerFacts("a1111", samplers=("DPM++ 2M Karras", "DPM++ 2M", "Euler a"), schedulers=())

    @pytest.mark.parametrize(
        ("sampler", "scheduler", "sent"),
        [
            ("DPM++ 2M", "Karras", "DPM++ 2M Karras"),
            ("DPM++ 2M Karras", None, "DPM++ 2M Karras"),
            ("DPM++ 2M", "Automatic", "DPM++ 2M"),
            ("Euler A", None, "Euler a"),
        ],
    )
    def test_sampler_and_schedule_become_one(self, sampler: str, scheduler: str | None, sent: str) -> None:
        compiled = A1111.compile(Txt2Img(sampler_name=sampler, scheduler=scheduler, **MODEL), self.OLD)

        assert compiled.call.body["sampler_name"] == sent
        assert "scheduler" not in compiled.call.body
        assert not compiled.losses

    def test_a_schedule_without_a_fused_name_is_approximated(self) -> None:
        request = Txt2Img(sampler_name="Euler a", scheduler="Karras", **MODEL)

        assert losses_of(request, self.OLD)["scheduler"].kind == "approximated"
        assert body_of(request, self.OLD)["sampler_name"] == "Euler a"

    def test_a_schedule_alone_is_dropped(self) -> None:
        assert losses_of(Txt2Img(scheduler="Karras", **MODEL), self.OLD)["scheduler"].kind == "dropped"

    def test_an_unknown_sampler_is_refused(self) -> None:
        assert losses_of(Txt2Img(sampler_name="Heun", **MODEL), self.OLD)["sampler_name"].severity == "error"


def test_loras_are_tags_behind_the_prompt() -> None:
    request = Txt2Img(
        prompt="a fox", loras=[Lora(model="sub/detail.safetensors", weight=0.7), Lora(model="b")], **MODEL
    )

    assert body_of(request)["prompt"] == "a fox <lora:detail:0.7> <lora:b:1>"
    assert body_of(request.replace(prompt=""))["prompt"] == "<lora:detail:0.7> <lora:b:1>"


def test_what_a_lora_loses_is_said() -> None:
    losses = losses_of(Txt2Img(loras=[Lora(model="a", mode="refiner"), Lora(model="a:b")], **MODEL))

    assert losses["loras[0].mode"].kind == "approximated"
    assert losses["loras[1].model"].severity == "error"


REFINED = Txt2Img(refiner=Refiner(model="sd_xl_refiner_1.0", switch_at=0.7), **MODEL)
HIRES = Txt2Img(width=1024, height=1024, hires=HiresFix(first_width=960, first_height=960, strength=0.35), **MODEL)


def test_the_refiner_is_sent() -> None:
    body = body_of(REFINED)

    assert (body["refiner_checkpoint"], body["refiner_switch_at"]) == ("sd_xl_refiner_1.0", 0.7)
    assert not losses_of(REFINED)


def test_a_refiner_that_is_not_installed_is_refused() -> None:
    assert losses_of(Txt2Img(refiner=Refiner(model="zzz"), **MODEL))["refiner.model"].severity == "error"


def test_the_hires_fix_gives_the_first_pass_as_the_size() -> None:
    compiled = A1111.compile(HIRES, KNOWN)

    assert {name: value for name, value in compiled.call.body.items() if name != "override_settings"} == {
        "enable_hr": True,
        "width": 960,
        "height": 960,
        "hr_resize_x": 1024,
        "hr_resize_y": 1024,
        "denoising_strength": 0.35,
        "hr_upscaler": "Lanczos",
    }
    assert compiled.expected.size == (1024, 1024)
    assert not compiled.losses


def test_the_hires_fix_takes_an_upscaler_and_steps() -> None:
    hires = HiresFix(first_width=512, first_height=512, upscaler="Latent (nearest)", steps=12)
    request = HIRES.replace(hires=hires)

    assert (body_of(request)["hr_upscaler"], body_of(request)["hr_second_pass_steps"]) == ("Latent (nearest)", 12)
    assert not losses_of(request)


def test_a_hires_upscaler_that_is_not_installed_is_refused() -> None:
    request = HIRES.replace(hires={"first_width": 512, "first_height": 512, "upscaler": "Latent (neares)"})

    assert "did you mean Latent (nearest)" in losses_of(request)["hires.upscaler"].message


def test_a_hires_fix_without_a_size_is_refused() -> None:
    request = Txt2Img(hires=HiresFix(first_width=512, first_height=512), **MODEL)

    assert losses_of(request)["hires"].severity == "error"


def test_refiner_and_hires_fix_together_run_in_both_passes() -> None:
    both = HIRES.replace(refiner=REFINED.refiner)

    assert body_of(both)["override_settings"]["hires_fix_refiner_pass"] == "both passes"
    assert not losses_of(both)


@pytest.mark.parametrize("options", [None, {"sd_model_checkpoint": "x"}])
def test_an_option_that_may_be_missing_is_not_sent(options: dict | None) -> None:
    both = HIRES.replace(refiner=REFINED.refiner)
    server = ServerFacts("a1111", options=options)

    assert "hires_fix_refiner_pass" not in body_of(both, server)["override_settings"]
    assert losses_of(both, server)["refiner"].severity == "note"


def test_enlarging_is_a_call_of_its_own_for_each_image() -> None:
    compiled = A1111.compile(
        Txt2Img(width=512, height=512, enlarge=Enlarge(model="4x-UltraSharp", scale=2), **MODEL), KNOWN
    )

    (step,) = compiled.then
    assert step.body == {"resize_mode": 0, "upscaling_resize": 2.0, "upscaler_1": "4x-UltraSharp"}
    assert (step.name, step.route.path) == ("enlarge", "/sdapi/v1/extra-single-image")
    assert (step.image_key, step.reply_key, step.scale) == ("image", "image", 2.0)
    assert compiled.expected.size == (512, 512)


def test_an_upscaler_that_is_not_installed_is_refused() -> None:
    loss = losses_of(Txt2Img(enlarge=Enlarge(model="4x_ultrasharp"), **MODEL))["enlarge.model"]

    assert "did you mean 4x-UltraSharp" in loss.message


@pytest.fixture
def img2img(png):
    def make(**values: object) -> Img2Img:
        return Img2Img(init_image=png(128, 192), **MODEL, **values)

    return make


def test_img2img_sends_the_image_and_its_size(img2img, png) -> None:
    compiled = A1111.compile(img2img(denoising_strength=0.3, resize_mode=1, image_cfg_scale=2), KNOWN)

    assert [base64.b64decode(image, validate=True) for image in compiled.call.body["init_images"]] == [png(128, 192)]
    assert (compiled.call.body["width"], compiled.call.body["height"]) == (128, 192)
    assert (compiled.call.body["denoising_strength"], compiled.call.body["resize_mode"]) == (0.3, 1)
    assert compiled.expected.size == (128, 192)
    assert compiled.call.route.path == "/sdapi/v1/img2img"
    assert not compiled.losses


def test_img2img_into_another_size_is_the_servers_business(img2img) -> None:
    body = body_of(img2img(width=256, height=256))

    assert (body["width"], body["height"]) == (256, 256)


def test_a_mask_is_sent_with_what_goes_with_it(img2img, png) -> None:
    body = body_of(
        img2img(
            mask=png(128, 192),
            mask_blur=4,
            inpainting_fill=1,
            inpaint_full_res=False,
            inpaint_full_res_padding=32,
            inpainting_mask_invert=True,
        )
    )

    assert base64.b64decode(body["mask"]) == png(128, 192)
    assert (body["mask_blur"], body["inpainting_fill"], body["inpaint_full_res"]) == (4, 1, False)
    assert body["inpaint_full_res_padding"] == 32
    assert body["inpainting_mask_invert"] == 1
    assert type(body["inpainting_mask_invert"]) is int


def test_no_mask_comes_back_between_the_images_whatever_the_server_has_chosen(img2img, png) -> None:
    server = replace(KNOWN, options={"return_mask": True, "return_mask_composite": False})

    assert body_of(img2img(mask=png(64, 64)), server)["override_settings"]["return_mask"] is False
    assert "return_mask_composite" not in body_of(img2img(mask=png(64, 64)), server)["override_settings"]
    assert "return_mask" not in body_of(img2img(), server).get("override_settings", {})


def test_img2img_without_an_image_is_refused() -> None:
    with pytest.raises(PayloadError, match="init_image: missing"):
        A1111.compile(Img2Img(), KNOWN)


TILE = ControlNet(model="control_v11f1e_sd15_tile", module="tile_resample", weight=0.5)


def test_a_control_is_a_unit_that_is_switched_on_and_returns_no_map(img2img, png) -> None:
    request = img2img(controls=[TILE.replace(threshold_a=2, pixel_perfect=True, image=png())])

    (unit,) = body_of(request)["alwayson_scripts"]["ControlNet"]["args"]

    assert unit == {
        "enabled": True,
        "module": "tile_resample",
        "model": "control_v11f1e_sd15_tile",
        "weight": 0.5,
        "guidance_start": 0.0,
        "guidance_end": 1.0,
        "control_mode": "Balanced",
        "save_detected_map": False,
        "threshold_a": 2.0,
        "pixel_perfect": True,
        "image": base64.b64encode(png()).decode(),
    }
    assert not losses_of(request)


def test_what_a_control_needs_is_checked(img2img) -> None:
    assert losses_of(Txt2Img(controls=[TILE], **MODEL))["controls[0].image"].severity == "error"
    assert losses_of(img2img(controls=[TILE] * 4))["controls"].severity == "error"
    assert losses_of(img2img(controls=[TILE.replace(model="zzz")]))["controls[0].model"].severity == "error"
    assert losses_of(img2img(controls=[TILE.replace(threshold_a=9)]))["controls[0].threshold_a"].severity == "error"
    assert not losses_of(img2img(controls=[TILE.replace(model="None", module="reference_only")]))


def test_more_units_are_sent_where_the_server_has_room(img2img) -> None:
    room = ServerFacts("a1111", options={"control_net_unit_count": 5})

    assert len(body_of(img2img(controls=[TILE] * 4), room)["alwayson_scripts"]["ControlNet"]["args"]) == 4


def test_controls_without_the_extension_are_refused(img2img) -> None:
    server = ServerFacts("a1111", scripts=())

    assert losses_of(img2img(controls=[TILE]), server)["controls"].severity == "error"
    assert "alwayson_scripts" not in body_of(img2img(controls=[TILE]), server)


def test_tiles_are_positional_arguments_in_latent_units(img2img) -> None:
    tiled = Tiled(diffusion=Tiles(width=512, height=640), vae=Tiles(width=512, height=512))

    scripts = body_of(img2img(tiled=tiled))["alwayson_scripts"]

    assert scripts["Tiled Diffusion"]["args"] == [
        *(True, "Mixture of Diffusers", False, False, 1024, 1024, 64, 80, 16, 4, "None", 2.0),
        *(False, 10, 1, 1, 64, False, False, False, False),
    ]
    assert scripts["Tiled VAE"]["args"] == [True, 512, 64, True, True, True, False]
    assert not losses_of(img2img(tiled=tiled))


def test_txt2img_tiles_use_the_other_method() -> None:
    args = body_of(Txt2Img(tiled=Tiled(diffusion=Tiles()), **MODEL))["alwayson_scripts"]["Tiled Diffusion"]["args"]

    assert args[1] == "MultiDiffusion"


def test_what_tiles_lose_is_a_note() -> None:
    tiled = Tiled(diffusion=Tiles(width=516, overlap=4), vae=Tiles(width=128, height=256, overlap=64))

    losses = losses_of(Txt2Img(tiled=tiled, **MODEL))

    assert {field: loss.severity for field, loss in losses.items()} == dict.fromkeys(
        (
            "tiled.diffusion.width",
            "tiled.diffusion.overlap",
            "tiled.vae.width",
            "tiled.vae.height",
            "tiled.vae.overlap",
        ),
        "note",
    )


def test_tiles_without_the_extension_are_dropped_and_said() -> None:
    server = ServerFacts("a1111", scripts=("controlnet",))
    request = Txt2Img(tiled=Tiled(diffusion=Tiles(), vae=Tiles()), **MODEL)

    assert "alwayson_scripts" not in body_of(request, server)
    assert {loss.severity for loss in losses_of(request, server).values()} == {"warning"}


def test_tiles_that_are_off_send_nothing() -> None:
    assert "alwayson_scripts" not in body_of(Txt2Img(tiled=Tiled(), **MODEL))


def test_what_was_asked_is_kept_by_the_names_of_the_reply() -> None:
    compiled = A1111.compile(
        Txt2Img(
            steps=30, cfg_scale=5, seed=7, sampler_name="DPM++ 2M Karras", clip_skip=2, width=512, height=512, **MODEL
        ),
        KNOWN,
    )

    assert compiled.asked == {
        "steps": 30,
        "cfg_scale": 5.0,
        "seed": 7,
        "width": 512,
        "height": 512,
        "sampler_name": "DPM++ 2M",
        "scheduler": "Karras",
        "model": "sd_xl_base_1.0",
        "clip_skip": 2,
    }


def test_sizes_and_strength_of_a_hires_fix_are_not_compared() -> None:
    assert not A1111.compile(HIRES, KNOWN).asked.keys() & {"width", "height", "denoising_strength"}


def test_the_strength_of_img2img_is_compared(img2img) -> None:
    assert A1111.compile(img2img(denoising_strength=0.3), KNOWN).asked["denoising_strength"] == 0.3


NATIVE = {
    "hr_prompt": "x",
    "override_settings": {"samples_format": "png"},
    "alwayson_scripts": {"Tiled VAE": {"args": [True]}},
}


def test_native_keys_are_merged_into_the_body() -> None:
    request = Txt2Img(loras=[Lora(model="a")], native={"a1111": NATIVE}, **MODEL)

    body = body_of(request)

    assert body["hr_prompt"] == "x"
    assert body["override_settings"] == {"sd_model_checkpoint": "sd_xl_base_1.0", "samples_format": "png"}
    assert body["alwayson_scripts"] == {"Tiled VAE": {"args": [True]}}


def test_a_script_may_give_any_number_of_images() -> None:
    native = {"a1111": {"script_name": "X/Y/Z plot", "script_args": [1]}}

    assert A1111.compile(Txt2Img(native=native, **MODEL), KNOWN).expected == Expected()


@pytest.mark.parametrize(
    ("native", "message"),
    [
        pytest.param({"hr_promt": "x"}, "unknown key of txt2img; did you mean hr_prompt", id="typo"),
        pytest.param({"mask_round": True}, "unknown key of txt2img", id="other-kind"),
        pytest.param({"s_churn": "1"}, "must be float or null, not '1'", id="type"),
        pytest.param({"styles": "a"}, "must be array or null", id="list"),
        pytest.param({"force_task_id": "x"}, "cannot be set: the client sets it", id="task"),
        pytest.param({"send_images": False}, "cannot be set", id="images"),
        pytest.param({"init_images": ["x"]}, "goes into init_image", id="init"),
        pytest.param({"steps": 3}, "steps sets this already", id="clash"),
        pytest.param({"override_settings": {"sd_model_checkpoint": "x"}}, "model sets this already", id="option"),
        pytest.param({"alwayson_scripts": {"controlnet": {"args": []}}}, "controls sets this already", id="script"),
        pytest.param({"alwayson_scripts": {"ADetailer": []}}, 'must be an object {"args"', id="script-shape"),
        pytest.param({"alwayson_scripts": {"ADetailer": {"args": 1}}}, 'must be an object {"args"', id="script-args"),
    ],
)
def test_a_native_key_that_is_wrong_is_refused(png, native: dict, message: str) -> None:
    request = Txt2Img(steps=9, controls=[TILE.replace(image=png())], native={"a1111": native}, **MODEL)

    with pytest.raises(PayloadError) as caught:
        A1111.compile(request, KNOWN)

    assert message in str(caught.value)
    assert str(caught.value).startswith("native.a1111.")


def test_native_options_and_scripts_that_the_server_lacks_are_refused() -> None:
    native = {"override_settings": {"sample_format": "png", "sd_vae": "x"}, "alwayson_scripts": {"A": {"args": []}}}

    losses = losses_of(Txt2Img(native={"a1111": native}, **MODEL))

    assert "did you mean samples_format" in losses["native.a1111.override_settings.sample_format"].message
    assert losses["native.a1111.alwayson_scripts.A"].severity == "error"


def test_native_options_are_not_checked_where_the_options_are_not_known() -> None:
    native = {"override_settings": None, "alwayson_scripts": {"A": {"args": []}}}

    assert not losses_of(Txt2Img(native={"a1111": native}, **MODEL), UNKNOWN)


def test_a_native_range_is_checked(img2img) -> None:
    with pytest.raises(PayloadError, match="must be between 0 and 3"):
        A1111.compile(img2img(native={"a1111": {"inpainting_fill": 4}}), KNOWN)


def test_a_reply_is_compared_with_what_was_asked_by_the_same_names() -> None:
    compiled = A1111.compile(Txt2Img(steps=30, seed=7, **MODEL), KNOWN)

    read = A1111.read_reply({"images": ["aGk="], "info": '{"steps": 20, "seed": 7, "all_seeds": [7]}'}, compiled)

    assert read.images == ("aGk=",)
    assert (compiled.asked["steps"], read.applied["steps"]) == (30, 20)


def test_routes_are_known() -> None:
    assert A1111.route("models").path == "/sdapi/v1/sd-models"
    assert A1111.route("controlnet_models").path == "/controlnet/model_list"


@pytest.mark.parametrize(
    ("body", "text", "field"),
    [
        ({"detail": [{"loc": ["body", "init_images"], "msg": "bad"}]}, "init_images: bad", "init_image"),
        ({"detail": [{"loc": ["body", "steps"], "msg": "bad"}]}, "steps: bad", "steps"),
        ({"detail": "Not Found"}, "Not Found", None),
    ],
)
def test_an_error_gives_the_servers_words_and_the_field(body: dict, text: str, field: str | None) -> None:
    words = A1111.read_error(422, body)

    assert (words.text, words.field) == (text, field)
