"""What SD.Next does differently from A1111."""

import pytest

from sdclient.dialects import DIALECTS, Compiled, ServerFacts
from sdclient.errors import PayloadError
from sdclient.schemas import (
    ADetailer,
    ControlNet,
    HiresFix,
    Img2Img,
    Refiner,
    SDUpscale,
    Tiled,
    Tiles,
    Txt2Img,
    UltimateUpscale,
)

SDNEXT = DIALECTS["sdnext"]
PLAIN = {"prompt": "x", "model": "m", "seed": 1}


def compiled(facts: ServerFacts | None = None, **fields) -> Compiled:
    return SDNEXT.compile(Txt2Img(**PLAIN, **fields), facts or ServerFacts("sdnext"))


def over(png, facts: ServerFacts | None = None, **fields) -> Compiled:
    return SDNEXT.compile(Img2Img(**PLAIN, init_image=png(64, 64), **fields), facts or ServerFacts("sdnext"))


def losses(found: Compiled) -> list[tuple[str, str, str]]:
    return [(loss.field, loss.kind, loss.severity) for loss in found.losses]


def test_png_is_asked_for_since_jpeg_would_come() -> None:
    assert compiled().call.body["samples_format"] == "png"
    assert compiled(native={"sdnext": {"samples_format": "webp"}}).call.body["samples_format"] == "webp"


def test_layers_to_skip_are_a_key_of_their_own() -> None:
    body = compiled(clip_skip=2).call.body

    assert body["clip_skip"] == 2
    assert body["override_settings"] == {"sd_model_checkpoint": "m"}


@pytest.mark.parametrize(
    ("asked", "sampler", "sigma"),
    [
        (("DPM++ 2M Karras", None), "DPM++ 2M", "karras"),
        (("DPM++ 2M", "Exponential"), "DPM++ 2M", "exponential"),
        (("euler a", "beta"), "Euler a", "betas"),
        (("LMS", None), "LMSD", None),
        (("PLMS", "Automatic"), "PNDM", None),
        (("DPM2 a", None), "KDPM2 a", None),
    ],
)
def test_a_sampler_has_its_own_name_and_no_schedule_at_its_end(asked: tuple, sampler: str, sigma: str | None) -> None:
    found = compiled(sampler_name=asked[0], **({"scheduler": asked[1]} if asked[1] else {}))

    assert found.call.body["sampler_name"] == sampler
    assert found.call.body.get("schedulers_sigma") == sigma
    assert "scheduler" not in found.call.body
    assert not found.losses


def test_a_schedule_that_is_not_there_is_dropped() -> None:
    found = compiled(sampler_name="Euler", scheduler="Simple")

    assert losses(found) == [("scheduler", "dropped", "warning")]


def test_a_schedule_goes_without_a_sampler() -> None:
    assert compiled(scheduler="Karras").call.body["schedulers_sigma"] == "karras"


def test_a_sampler_is_held_against_the_servers_list() -> None:
    facts = ServerFacts("sdnext", samplers=("Default", "Euler a", "DPM++ 1S"))

    assert compiled(facts, sampler_name="EULER A").call.body["sampler_name"] == "Euler a"
    assert losses(compiled(facts, sampler_name="DPM++ 2S a")) == [("sampler_name", "approximated", "warning")]
    assert losses(compiled(facts, sampler_name="Restart")) == [("sampler_name", "refused", "error")]


def test_a_near_sampler_is_said_where_no_list_is_known() -> None:
    found = compiled(sampler_name="DPM++ 2M SDE Heun")

    assert found.call.body["sampler_name"] == "DPM++ 2M SDE"
    assert losses(found) == [("sampler_name", "approximated", "warning")]


@pytest.mark.parametrize(("mode", "sent"), [(None, 1), (0, 1), (1, 2), (2, 3), (3, 1)])
def test_an_init_image_is_always_fitted_to_the_request(png, mode: int | None, sent: int) -> None:
    found = over(png, **({} if mode is None else {"resize_mode": mode}))

    assert found.call.body["resize_mode"] == sent
    assert losses(found) == ([("resize_mode", "approximated", "warning")] if mode == 3 else [])


def test_a_hires_fix_says_its_strength_twice_and_insists_on_its_second_pass() -> None:
    body = compiled(width=128, height=128, hires=HiresFix(first_width=64, first_height=64, strength=0.4)).call.body

    assert (body["denoising_strength"], body["hr_denoising_strength"], body["hr_force"]) == (0.4, 0.4, True)
    assert "hr_force" not in compiled(hires=HiresFix(first_width=64, first_height=64)).call.body


def test_a_hires_fix_names_a_way_to_enlarge_since_by_default_nothing_is() -> None:
    hires = {"first_width": 64, "first_height": 64}
    newer = ServerFacts("sdnext", upscalers=("None", "Resize Nearest", "Resize Lanczos"))
    plain = compiled(width=128, height=128, hires=hires).call.body
    native = {"enable_hr": True, "denoising_strength": 0.5, "hr_scale": 2}

    assert (plain["hr_resize_mode"], plain["hr_upscaler"]) == (2, "Lanczos")
    assert compiled(newer, width=128, height=128, hires=hires).call.body["hr_upscaler"] == "Resize Lanczos"
    assert compiled(native={"sdnext": native}).call.body["hr_resize_mode"] == 2
    assert compiled(native={"sdnext": {**native, "hr_resize_mode": 1}}).call.body["hr_resize_mode"] == 1
    assert "hr_resize_mode" not in compiled().call.body


def test_a_latent_mode_is_one_of_its_own_upscalers_and_a1111s_are_refused() -> None:
    server = ServerFacts("sdnext", upscalers=("None", "Resize Lanczos", "Latent Nearest"))
    fields = {"width": 128, "height": 128}
    hires = HiresFix(first_width=64, first_height=64, upscaler="Latent Nearest")

    assert "hires.upscaler" not in {loss.field for loss in compiled(server, hires=hires, **fields).losses}
    other = compiled(server, hires=hires.replace(upscaler="Latent (nearest)"), **fields)
    (loss,) = [loss for loss in other.losses if loss.field == "hires.upscaler"]
    assert (loss.kind, "did you mean Latent Nearest" in loss.message) == ("refused", True)


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({"hr_resize_mode": 0}, "native.sdnext.hr_resize_mode"),
        ({"hr_upscaler": "None"}, "native.sdnext.hr_upscaler"),
    ],
)
def test_a_hires_fix_that_would_enlarge_nothing_is_refused(keys: dict, field: str) -> None:
    native = {"enable_hr": True, "denoising_strength": 0.5, **keys}

    assert (field, "refused", "error") in losses(compiled(native={"sdnext": native}))
    assert (field, "refused", "error") not in losses(compiled(native={"sdnext": {**native, "hr_resize_mode": 5}}))


def test_what_lives_elsewhere_is_dropped_or_refused(png) -> None:
    parts = {"refiner": Refiner(model="r"), "tiled": Tiled(diffusion=Tiles(), vae=Tiles()), "restore_faces": True}

    assert losses(compiled(**parts)) == [
        ("restore_faces", "dropped", "warning"),
        ("refiner", "dropped", "warning"),
        ("tiled.diffusion", "dropped", "warning"),
        ("tiled.vae", "dropped", "warning"),
    ]
    assert losses(over(png, controls=[ControlNet(model="tile")])) == [("controls", "refused", "error")]
    assert losses(over(png, sd_upscale=SDUpscale())) == [("sd_upscale", "refused", "error")]


def test_a_detector_becomes_the_built_in_detailer() -> None:
    unit = ADetailer(model="face.pt", prompt="a face", denoising_strength=0.4, steps=9, negative_prompt="no")
    found = compiled(adetailer=[unit])
    keys = ("detailer_enabled", "detailer_prompt", "detailer_negative", "detailer_steps", "detailer_strength")

    assert [found.call.body[name] for name in keys] == [True, "a face", "no", 9, 0.4]
    assert losses(found) == [("adetailer", "approximated", "warning")]


def test_the_upscale_script_has_its_own_title_and_fifteen_arguments(png) -> None:
    body = over(png, ultimate_upscale=UltimateUpscale(upscaler="Lanczos", scale=2, seams="Band pass")).call.body

    assert body["script_name"] == "SD Ultimate Upscale"
    assert body["script_args"] == [512, 0, 8, 32, 64, 0.35, 16, 1, 0, 4, 1, 2, 2048, 2048, 2.0]


def test_native_keys_of_a_family_pass_and_others_do_not() -> None:
    body = compiled(native={"sdnext": {"hdr_mode": 1, "guidance_rescale": 0.5, "ip_adapter": [{}]}}).call.body

    assert (body["hdr_mode"], body["guidance_rescale"], body["ip_adapter"]) == (1, 0.5, [{}])
    with pytest.raises(PayloadError, match=r"native\.sdnext\.scheduler: unknown key"):
        compiled(native={"sdnext": {"scheduler": "Karras"}})
    with pytest.raises(PayloadError, match=r"hr_resize_mode: must be between 0 and 5"):
        compiled(native={"sdnext": {"hr_resize_mode": 6}})


def test_a_script_may_have_fewer_arguments_and_not_more() -> None:
    script = {"script_name": "sd ultimate upscale", "script_args": [512]}

    assert compiled(native={"sdnext": script}).call.body["script_args"] == [512]
    with pytest.raises(PayloadError, match="takes 15 arguments in all, not 16"):
        compiled(native={"sdnext": {**script, "script_args": [512] * 16}})


def test_a_key_of_a_family_nobody_listed_is_passed_on_and_said() -> None:
    found = compiled(native={"sdnext": {"hdr_mod": True, "enhance_prompt": True}})

    assert (found.call.body["hdr_mod"], found.call.body["enhance_prompt"]) == (True, True)
    told = {loss.field: loss.severity for loss in found.losses if loss.field.startswith("native")}
    assert told == {"native.sdnext.hdr_mod": "note"}
