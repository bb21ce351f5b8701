"""What Forge does differently from A1111."""

import pytest

from sdclient.dialects import DIALECTS, Compiled, ServerFacts
from sdclient.errors import PayloadError
from sdclient.schemas import ControlNet, HiresFix, Img2Img, Tiled, Tiles, Txt2Img

FORGE = DIALECTS["forge"]
PLAIN = {"prompt": "x", "model": "m", "seed": 1}


def compiled(facts: ServerFacts | None = None, **fields) -> Compiled:
    return FORGE.compile(Txt2Img(**PLAIN, **fields), facts or ServerFacts("forge"))


def unit(png, facts: ServerFacts | None = None, **fields) -> tuple[dict, Compiled]:
    request = Img2Img(**PLAIN, init_image=png(64, 64), controls=[ControlNet(**fields)])
    found = FORGE.compile(request, facts or ServerFacts("forge"))
    return found.call.body["alwayson_scripts"]["ControlNet"]["args"][0], found


@pytest.mark.parametrize(("vae", "modules"), [("ae.safetensors", ["ae.safetensors"]), ("Automatic", []), ("none", [])])
def test_a_vae_is_one_of_the_modules(vae: str, modules: list) -> None:
    assert compiled(vae=vae).call.body["override_settings"]["forge_additional_modules"] == modules
    assert FORGE.route("vaes").path == "/sdapi/v1/sd-modules"


def test_a_hires_fix_is_complete_enough_not_to_fail() -> None:
    hires = HiresFix(first_width=64, first_height=64)
    body = compiled(width=128, height=128, hires=hires, cfg_scale=5, distilled_cfg_scale=4).call.body
    bare = compiled(width=128, height=128, hires=hires).call.body

    assert (body["hr_additional_modules"], body["hr_cfg"], body["hr_distilled_cfg"]) == (["Use same choices"], 5, 4)
    assert (bare["hr_cfg"], bare["hr_distilled_cfg"]) == (7.0, 3.5)


def test_a_native_hires_fix_is_completed_too() -> None:
    found = compiled(native={"forge": {"enable_hr": True, "denoising_strength": 0.3, "hr_cfg": 2}})

    assert found.call.body["hr_additional_modules"] == ["Use same choices"]
    assert found.call.body["hr_cfg"] == 2
    assert not [loss for loss in found.losses if loss.severity == "error"]


def test_a_hires_fix_without_a_strength_is_refused_before_the_server_fails() -> None:
    [loss] = compiled(native={"forge": {"enable_hr": True}}).losses

    assert (loss.field, loss.severity) == ("native.forge.enable_hr", "error")


def test_a_unit_is_spelled_as_forge_knows_it(png) -> None:
    body, found = unit(
        png,
        ServerFacts("forge", controlnet_models=("None", "tile_v1 [abcd1234]", "tile [12345678]")),
        model="tile",
        image=png(64, 64),
        mask=png(64, 64),
        union_control_type="Tile",
    )

    assert body["model"] == "tile [12345678]"
    assert body["module"] == "None"
    assert "mask_image" in body
    assert not {"mask", "union_control_type"} & body.keys()
    assert [loss.field for loss in found.losses] == ["controls[0].union_control_type"]


def test_a_rate_that_forges_tile_resample_lacks_is_a_loss(png) -> None:
    body, found = unit(png, model="tile [12345678]", module="tile_resample", threshold_a=2)

    assert "threshold_a" not in body
    assert [(loss.field, loss.kind) for loss in found.losses] == [("controls[0].threshold_a", "dropped")]


def test_a_short_model_name_is_a_note_where_the_list_is_not_known(png) -> None:
    _, found = unit(png, model="tile")

    assert [(loss.field, loss.severity) for loss in found.losses] == [("controls[0].model", "note")]


def test_a_model_that_is_nowhere_in_the_list_is_refused(png) -> None:
    _, found = unit(png, ServerFacts("forge", controlnet_models=("canny [1]",)), model="tile")

    assert [(loss.field, loss.severity) for loss in found.losses] == [("controls[0].model", "error")]


def test_tiles_go_to_the_scripts_that_come_with_forge() -> None:
    tiled = Tiled(diffusion=Tiles(width=768, height=512, overlap=64), vae=Tiles())
    scripts = compiled(tiled=tiled).call.body["alwayson_scripts"]

    assert scripts["MultiDiffusion Integrated"]["args"] == [True, "MultiDiffusion", 768, 512, 64, 4]
    assert scripts["Never OOM Integrated"]["args"] == [False, True]


def test_tiles_are_dropped_where_the_scripts_are_not() -> None:
    tiled = Tiled(diffusion=Tiles(), vae=Tiles())
    found = compiled(ServerFacts("forge", scripts=("controlnet",)), tiled=tiled)

    assert "alwayson_scripts" not in found.call.body
    assert [(loss.field, loss.kind) for loss in found.losses] == [
        ("tiled.diffusion", "dropped"),
        ("tiled.vae", "dropped"),
    ]


def test_the_overlay_of_a1111_is_taken_first_and_forges_wins() -> None:
    overlays = {
        "a1111": {
            "steps": 10,
            "cfg_scale": 5,
            "native": {
                "s_noise": 1.1,
                "eta": 0.5,
                "override_settings": {"randn_source": "CPU", "emphasis": "None"},
                "alwayson_scripts": {"seed": {"args": [1]}},
            },
        },
        "forge": {
            "steps": 12,
            "native": {
                "s_noise": 1.2,
                "override_settings": {"randn_source": "GPU"},
                "alwayson_scripts": {"Seed": {"args": [2]}},
            },
        },
    }
    request = Txt2Img(**PLAIN, overlays=overlays).for_dialect(*FORGE.overlay_names)

    body = FORGE.compile(request, ServerFacts("forge")).call.body

    assert (body["steps"], body["cfg_scale"], body["s_noise"], body["eta"]) == (12, 5, 1.2, 0.5)
    assert body["override_settings"] == {"sd_model_checkpoint": "m", "randn_source": "GPU", "emphasis": "None"}
    assert body["alwayson_scripts"] == {"Seed": {"args": [2]}}


def test_a_wrong_native_key_is_named_by_where_it_stands() -> None:
    with pytest.raises(PayloadError, match=r"^native\.a1111\.stepz: unknown key of txt2img; did you mean steps"):
        compiled(native={"a1111": {"stepz": 1}})
    with pytest.raises(PayloadError, match=r"^native\.forge\.hr_cfg: must be float"):
        compiled(native={"forge": {"hr_cfg": "7"}})


@pytest.mark.parametrize("title", ["ControlNet", "ADetailer"])
def test_a_native_unit_that_is_no_object_is_refused(title: str) -> None:
    request = Txt2Img(model="m", native={"forge": {"alwayson_scripts": {title: {"args": ["zzz"]}}}})

    with pytest.raises(
        PayloadError, match=rf"^native\.forge.*{title}\.args\[0\]: must be an object, a unit, not 'zzz'"
    ):
        FORGE.compile(request, ServerFacts("forge"))


@pytest.mark.parametrize("overlay", ["a1111", "forge"])
def test_a_native_unit_that_does_not_say_so_is_on_here_and_checked(overlay: str) -> None:
    native = {overlay: {"alwayson_scripts": {"controlnet": {"args": [{"model": "nope"}, {"enabled": False}]}}}}
    facts = ServerFacts("forge", controlnet_models=("tile [a1b2c3d4]",))
    found = FORGE.compile(Txt2Img(model="m", native=native), facts)

    units = found.call.body["alwayson_scripts"]["controlnet"]["args"]
    assert units == [{"model": "nope", "enabled": True}, {"enabled": False}]
    assert [(loss.field, loss.kind) for loss in found.losses] == [
        (f"native.{overlay}.alwayson_scripts.controlnet.args[0].model", "refused")
    ]
