"""stable-diffusion.cpp and KoboldCpp: few keys, one model, and silence about what they ignore."""

import json

import pytest

from sdclient.dialects import DIALECTS, Compiled, ServerFacts
from sdclient.dialects.tables import small_samplers
from sdclient.errors import BadReplyError, PayloadError
from sdclient.schemas import (
    ADetailer,
    ControlNet,
    Enlarge,
    HiresFix,
    Img2Img,
    Lora,
    Refiner,
    SDUpscale,
    Tiled,
    Tiles,
    Txt2Img,
)

SMALL = ("sdcpp", "koboldcpp")


def compiled(name: str, facts: ServerFacts | None = None, **fields) -> Compiled:
    return DIALECTS[name].compile(Txt2Img(**{"prompt": "x", "inherit": True, **fields}), facts or ServerFacts(name))


def over(name: str, png, facts: ServerFacts | None = None, **fields) -> Compiled:
    values = {"prompt": "x", "inherit": True, "init_image": png(128, 64), **fields}
    return DIALECTS[name].compile(Img2Img(**values), facts or ServerFacts(name))


def losses(found: Compiled) -> list[tuple[str, str, str]]:
    return [(loss.field, loss.kind, loss.severity) for loss in found.losses if loss.field != "model"]


@pytest.mark.parametrize("name", SMALL)
def test_a_sampler_that_only_the_server_lists_is_sent(name: str) -> None:
    found = compiled(name, ServerFacts(name, samplers=("Euler", "Brand_New")), sampler_name="brand_new")

    assert found.call.body["sampler_name"] == "Brand_New"
    assert losses(found) == []


@pytest.mark.parametrize("name", SMALL)
def test_plain_fields_are_sent_and_the_rest_stays_out(name: str) -> None:
    fields = {"steps": 9, "cfg_scale": 5, "width": 128, "height": 64, "seed": 7, "clip_skip": 2, "negative_prompt": "n"}

    assert compiled(name, **fields).call.body == {"prompt": "x", **fields}
    assert compiled(name, seed=-1).call.body == {"prompt": "x"}


@pytest.mark.parametrize("name", SMALL)
def test_an_init_image_sets_the_size_where_none_is_asked(name: str, png) -> None:
    body = over(name, png, denoising_strength=0.3, mask=png(128, 64), inpainting_mask_invert=True).call.body

    assert (body["width"], body["height"], body["denoising_strength"]) == (128, 64, 0.3)
    assert (len(body["init_images"]), body["inpainting_mask_invert"]) == (1, 1)
    assert body["mask"]
    assert over(name, png, width=64, height=64).call.body["width"] == 64


@pytest.mark.parametrize("name", [*SMALL, "drawthings"])
def test_how_to_use_a_mask_is_no_loss_where_there_is_none(name: str, png) -> None:
    # As A1111's page writes it into every img2img request.
    page = {"mask_blur": 4, "inpainting_fill": 1, "inpaint_full_res": True, "inpaint_full_res_padding": 32}

    bare = over(name, png, init_image=png(128, 128), model="m", seed=1, **page, inpainting_mask_invert=False)
    masked = over(name, png, init_image=png(128, 128), model="m", seed=1, **page, mask=png(128, 128))

    assert losses(bare) == []
    assert {"inpainting_fill", "inpaint_full_res", "inpaint_full_res_padding"} <= {loss[0] for loss in losses(masked)}


@pytest.mark.parametrize("name", SMALL)
def test_no_init_image_is_refused_since_the_server_would_draw_something_else(name: str) -> None:
    with pytest.raises(PayloadError, match="init_image: missing"):
        DIALECTS[name].compile(Img2Img(prompt="x"), ServerFacts(name))


@pytest.mark.parametrize("name", SMALL)
def test_what_would_change_the_size_or_the_steering_is_refused(name: str, png) -> None:
    found = over(
        name, png, enlarge=Enlarge(model="u"), controls=[ControlNet(model="c")], sd_upscale=SDUpscale(), subseed=3
    )

    assert [loss[0] for loss in losses(found) if loss[2] == "error"] == ["enlarge", "controls", "sd_upscale"]
    assert ("subseed", "dropped", "warning") in losses(found)


@pytest.mark.parametrize("name", SMALL)
def test_what_changes_the_look_is_dropped_with_a_word(name: str) -> None:
    found = compiled(
        name,
        refiner=Refiner(model="r"),
        adetailer=[ADetailer(model="f")],
        tiled=Tiled(vae=Tiles()),
        tiling=True,
        vae="v",
        eta=0.5,
        styles=["s"],
    )

    assert {loss[0] for loss in losses(found)} == {"refiner", "adetailer", "tiled", "tiling", "vae", "eta", "styles"}
    assert {loss[1:] for loss in losses(found)} == {("dropped", "warning")}
    assert not losses(compiled(name, tiled=Tiled()))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    ("fields", "models", "kind", "severity"),
    [
        ({"model": None, "inherit": False}, None, "inherited", "warning"),
        ({"model": None}, None, "inherited", "note"),
        ({"model": "m"}, None, "inherited", "warning"),
        ({"model": "other"}, ("m",), "refused", "error"),
        ({"model": "m"}, (), "refused", "error"),
    ],
)
def test_the_model_is_the_one_from_the_start(name: str, fields: dict, models, kind: str, severity: str) -> None:
    found = compiled(name, ServerFacts(name, models=models), **fields)

    assert [(loss.kind, loss.severity) for loss in found.losses] == [(kind, severity)]


@pytest.mark.parametrize("name", SMALL)
def test_the_loaded_model_may_be_named_in_any_spelling(name: str) -> None:
    found = compiled(name, ServerFacts(name, models=("sd_xl_base_1.0",)), model="SD_XL_base_1.0.safetensors")

    assert not found.losses
    assert "model" not in found.call.body


@pytest.mark.parametrize("name", SMALL)
def test_a_native_sampler_that_nobody_lists_is_refused(name: str) -> None:
    key = f"native.{name}.sampler_name"
    known = small_samplers(name)[0]

    lost = compiled(name, native={name: {"sampler_name": "Nonsense"}}).losses
    fine = compiled(name, native={name: {"sampler_name": known}}).losses
    newer = compiled(
        name, ServerFacts(name, samplers=("Nonsense",)), native={name: {"sampler_name": "Nonsense"}}
    ).losses

    assert [(loss.field, loss.kind) for loss in lost if loss.field == key] == [(key, "refused")]
    assert "has no sampler 'Nonsense'" in str(lost)
    assert key not in {loss.field for loss in (*fine, *newer)}


@pytest.mark.parametrize("name", SMALL)
def test_native_keys_are_checked(name: str) -> None:
    assert compiled(name, native={name: {"extra_images": ["x"]}}).call.body["extra_images"] == ["x"]
    for native, words in (
        ({"step": 1}, "unknown key; did you mean steps"),
        ({"steps": "20"}, "steps: must be int"),
        ({"init_images": []}, "the image goes into init_image"),
        ({"prompt": "y"}, "prompt sets this already"),
    ):
        with pytest.raises(PayloadError, match=words):
            compiled(name, native={name: native})
    with pytest.raises(PayloadError, match="must be"):
        compiled("koboldcpp", native={"koboldcpp": {"distilled_guidance": None}})


@pytest.mark.parametrize("name", SMALL)
def test_a_size_between_the_steps_is_said_to_come_out_otherwise(name: str) -> None:
    found = compiled(name, width=520, height=512)

    assert losses(found) == [("width", "approximated", "warning")]
    assert found.expected.size is None


# --- stable-diffusion.cpp -------------------------------------------------------------------------------------------


def test_sdcpp_refuses_an_empty_prompt_before_the_server_does() -> None:
    assert losses(compiled("sdcpp", prompt="")) == [("prompt", "refused", "error")]


@pytest.mark.parametrize(
    ("sampler", "schedule", "sent", "lost"),
    [
        ("DPM++ 2M Karras", None, ("dpm++2m", "karras"), []),
        ("euler_a", "gits", ("euler_a", "gits"), []),
        ("Euler a", "Automatic", ("euler_a", None), []),
        ("UniPC", "Uniform", ("dpm++2m", "discrete"), ["scheduler", "sampler_name"]),
        ("Restart", None, (None, None), ["sampler_name"]),
        ("Euler", "odd", ("euler", None), ["scheduler"]),
    ],
)
def test_sdcpp_samplers_have_their_native_names(sampler: str, schedule, sent: tuple, lost: list) -> None:
    found = compiled("sdcpp", sampler_name=sampler, **({"scheduler": schedule} if schedule else {}))

    assert (found.call.body.get("sampler_name"), found.call.body.get("scheduler")) == sent
    assert sorted(loss[0] for loss in losses(found)) == sorted(lost)


def test_sdcpp_has_one_number_of_images() -> None:
    found = compiled("sdcpp", batch_size=2, n_iter=3)

    assert (found.call.body["batch_size"], found.expected.images) == (6, 6)
    assert losses(found) == [("n_iter", "approximated", "note")]


def test_sdcpp_names_loras_by_their_path() -> None:
    facts = ServerFacts("sdcpp", loras=("style/Detail.safetensors", "b.gguf"))
    found = compiled("sdcpp", facts, loras=[Lora(model="detail", weight=0.5), Lora(model="b.gguf", mode="base")])

    assert found.call.body["lora"] == [
        {"path": "style/Detail.safetensors", "multiplier": 0.5},
        {"path": "b.gguf", "multiplier": 1.0},
    ]
    assert losses(found) == [("loras[1].mode", "approximated", "warning")]
    assert losses(compiled("sdcpp", facts, loras=[Lora(model="x")])) == [("loras[0].model", "refused", "error")]
    unknown = compiled("sdcpp", loras=[Lora(model="x"), Lora(model="y.ckpt")]).call.body["lora"]
    assert [item["path"] for item in unknown] == ["x.safetensors", "y.ckpt"]


def test_sdcpp_draws_a_hires_fix_with_its_own_key_for_steps() -> None:
    hires = HiresFix(first_width=64, first_height=64, strength=0.4, steps=5, upscaler="Latent")
    found = compiled("sdcpp", width=128, height=128, hires=hires)
    body = found.call.body

    assert (body["width"], body["hr_resize_x"], body["hr_steps"], body["hr_upscaler"]) == (64, 128, 5, "Latent")
    assert body["denoising_strength"] == 0.4
    assert found.expected.size == (128, 128)
    assert not {"width", "height"} & found.asked.keys()
    assert compiled("sdcpp", width=128, height=128, hires=hires.replace(upscaler=None)).call.body["hr_upscaler"]
    assert losses(compiled("sdcpp", hires=hires)) == [("hires", "refused", "error")]


def test_sdcpp_replies_are_read_with_info_and_without() -> None:
    found = compiled("sdcpp", seed=7)
    info = json.dumps({"all_seeds": [7], "sampler_name": "euler", "sd_vae_name": "x", "infotexts": ["t"]})

    new = DIALECTS["sdcpp"].read_reply({"images": ["a"], "parameters": {}, "info": info}, found)
    old = DIALECTS["sdcpp"].read_reply({"images": ["a"], "parameters": {}, "info": ""}, found)

    assert (new.seeds, new.infotexts, new.applied) == ((7,), ("t",), {"sampler_name": "euler"})
    assert (old.seeds, old.images, old.applied) == ((), ("a",), {})


# --- KoboldCpp --------------------------------------------------------------------------------------------------------


def test_koboldcpp_is_always_sent_a_prompt_since_it_has_one_of_its_own() -> None:
    assert DIALECTS["koboldcpp"].compile(Txt2Img(), ServerFacts("koboldcpp")).call.body == {"prompt": ""}


@pytest.mark.parametrize("fields", [{"batch_size": 2}, {"n_iter": 2}])
def test_koboldcpp_makes_one_image(fields: dict) -> None:
    assert losses(compiled("koboldcpp", **fields)) == [(next(iter(fields)), "refused", "error")]


def test_koboldcpp_says_what_it_will_clamp() -> None:
    found = compiled("koboldcpp", steps=90, cfg_scale=0.5, width=2048, height=100)

    assert losses(found) == [(name, "approximated", "warning") for name in ("width", "height", "steps", "cfg_scale")]
    assert "makes 80 of 90" in found.losses[2].message
    assert (found.call.body["steps"], found.call.body["cfg_scale"]) == (80, 1)
    assert found.expected.size is None
    assert not losses(compiled("koboldcpp", steps=80, cfg_scale=25, width=1024, height=64))


def test_koboldcpp_takes_a_schedule_on_trust_and_an_old_one_none() -> None:
    new = compiled("koboldcpp", sampler_name="DPM++ 2M Karras", distilled_cfg_scale=3)
    old = compiled(
        "koboldcpp",
        ServerFacts("koboldcpp", "1.76.2"),
        sampler_name="dpm++ 2m karras",
        distilled_cfg_scale=3,
    )

    assert (new.call.body["sampler_name"], new.call.body["scheduler"]) == ("DPM++ 2M", "karras")
    assert new.call.body["distilled_guidance"] == 3
    assert losses(new) == [("sampler_name", "approximated", "note")]
    assert not {"scheduler", "distilled_guidance"} & old.call.body.keys()
    assert {loss[1] for loss in losses(old)} == {"dropped"}
    assert "scheduler" not in compiled("koboldcpp", scheduler="automatic").call.body


def test_an_old_koboldcpp_refuses_a_mask_that_it_would_ignore(png) -> None:
    facts = ServerFacts("koboldcpp", "1.76")

    assert losses(over("koboldcpp", png, facts, mask=png(128, 64))) == [("mask", "refused", "error")]
    assert not losses(over("koboldcpp", png, ServerFacts("koboldcpp", "1.102.3"), mask=png(128, 64)))


def test_koboldcpp_refuses_a_request_larger_than_it_reads(png) -> None:
    big = png(128, 64) + b"\0" * (25 * 1024 * 1024)

    assert ("init_image", "refused", "error") in losses(over("koboldcpp", png, init_image=big))


def test_koboldcpp_leaves_loras_and_hires_fix_out() -> None:
    hires = HiresFix(first_width=64, first_height=64)
    found = compiled("koboldcpp", width=128, height=128, hires=hires, loras=[Lora(model="x")])

    assert [loss[:2] for loss in losses(found)] == [("loras", "dropped"), ("hires", "dropped")]
    assert found.call.body["width"] == 128


def test_a_failure_of_koboldcpp_that_looks_like_a_success_is_none() -> None:
    found = compiled("koboldcpp")

    with pytest.raises(BadReplyError, match="is empty"):
        DIALECTS["koboldcpp"].read_reply({"images": [""], "parameters": {}, "info": ""}, found)
    read = DIALECTS["koboldcpp"].read_reply({"images": ["a"], "parameters": {}, "info": "", "animated": False}, found)
    assert read.images == ("a",)
