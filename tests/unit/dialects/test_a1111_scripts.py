"""Scripts of A1111's family: typed, positional, and checked where native."""

import pytest

from sdclient.dialects import DIALECTS, Compiled, ServerFacts
from sdclient.dialects.a1111_native import NativeTables
from sdclient.errors import PayloadError
from sdclient.schemas import ADetailer, Img2Img, SDUpscale, Txt2Img, UltimateUpscale

A1111 = DIALECTS["a1111"]
UPSCALERS = ServerFacts("a1111", upscalers=("None", "Lanczos", "Nearest", "4x-UltraSharp"))


def over(png, facts: ServerFacts | None = None, **fields) -> Compiled:
    request = Img2Img(**{"prompt": "x", "model": "m", "seed": 1, "init_image": png(100, 64), **fields})
    return A1111.compile(request, facts or ServerFacts("a1111"))


def native(**keys) -> Compiled:
    return A1111.compile(Txt2Img(model="m", native={"a1111": keys}), ServerFacts("a1111"))


def losses(found: Compiled) -> list[tuple[str, str]]:
    return [(loss.field, loss.kind) for loss in found.losses]


def test_detectors_come_behind_both_switches_with_the_switches_of_their_fields() -> None:
    units = [
        ADetailer(model="face.pt", steps=9, inpaint_width=512, inpaint_height=512, prompt="", sampler="Euler"),
        ADetailer(model="hand.pt", confidence=0.5, sampler="Euler", scheduler="Karras"),
    ]
    found = A1111.compile(Txt2Img(model="m", adetailer=units), ServerFacts("a1111"))

    assert found.call.body["alwayson_scripts"]["ADetailer"]["args"] == [
        True,
        False,
        {
            "ad_model": "face.pt",
            "ad_prompt": "",
            "ad_use_inpaint_width_height": True,
            "ad_inpaint_width": 512,
            "ad_inpaint_height": 512,
            "ad_use_steps": True,
            "ad_steps": 9,
            "ad_use_sampler": True,
            "ad_sampler": "Euler",
        },
        {
            "ad_model": "hand.pt",
            "ad_confidence": 0.5,
            "ad_use_sampler": True,
            "ad_sampler": "Euler",
            "ad_scheduler": "Karras",
        },
    ]
    assert not found.losses


INSTALLED = ServerFacts(
    "a1111", models=("m", "detail"), samplers=("Euler a",), schedulers=("automatic", "karras"), scripts=("adetailer",),
    controlnet_models=("None", "tile [abcdef]"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("names", "field", "message"),
    [
        ({"checkpoint": "nopeck"}, "checkpoint", "no model 'nopeck'"),
        ({"sampler": "nopes"}, "sampler", "no sampler 'nopes'"),
        ({"sampler": "Euler a", "scheduler": "nope"}, "scheduler", "schedule it does not know, such as 'nope'"),
        ({"controlnet_model": "nopecn"}, "controlnet_model", "no ControlNet model 'nopecn'; it has"),
    ],
)
def test_what_adetailer_is_to_draw_with_must_be_installed(names: dict, field: str, message: str) -> None:
    found = A1111.compile(Txt2Img(model="m", adetailer=[ADetailer(model="f", **names)]), INSTALLED)

    assert losses(found) == [(f"adetailer[0].{field}", "refused")]
    assert message in found.losses[0].message
    assert "did you mean None" not in found.losses[0].message


@pytest.mark.parametrize(
    "names",
    [
        {"checkpoint": "Use same checkpoint"}, {"checkpoint": "detail"}, {"sampler": "Use same sampler"}, {"sampler": "Euler a"},
        {"sampler": "Euler a", "scheduler": "Karras"}, {"controlnet_model": "Passthrough"}, {"controlnet_model": "None"},
        {"controlnet_model": "tile"},
    ],
)  # fmt: skip
def test_what_adetailer_is_to_draw_with_may_be_what_the_image_was_drawn_with(names: dict) -> None:
    found = A1111.compile(Txt2Img(model="m", adetailer=[ADetailer(model="f", **names)]), INSTALLED)

    assert losses(found) == []


@pytest.mark.parametrize(
    ("scheduler", "sent", "lost"),
    [
        pytest.param("Karras", {"ad_sampler": "DPM++ 2M Karras"}, [], id="one label for both"),
        pytest.param("Automatic", {"ad_sampler": "DPM++ 2M", "ad_scheduler": "Automatic"}, [], id="its own choice"),
        pytest.param(
            "Uniform", {"ad_sampler": "DPM++ 2M", "ad_scheduler": "Uniform"}, [("adetailer[0].scheduler", "dropped")], id="none",
        ),
    ],
)  # fmt: skip
def test_a_version_without_schedules_gets_adetailers_as_one_label(scheduler: str, sent: dict, lost: list) -> None:
    facts = ServerFacts("a1111", models=("m",), samplers=("DPM++ 2M", "DPM++ 2M Karras"), schedulers=())
    request = Txt2Img(model="m", adetailer=[ADetailer(model="f", sampler="DPM++ 2M", scheduler=scheduler)])

    found = A1111.compile(request, facts)

    [unit] = found.call.body["alwayson_scripts"]["ADetailer"]["args"][2:]
    assert {key: unit[key] for key in unit if key in ("ad_sampler", "ad_scheduler")} == sent
    assert losses(found) == lost


def test_a_schedule_without_a_sampler_is_lost_on_adetailer() -> None:
    found = A1111.compile(Txt2Img(model="m", adetailer=[ADetailer(model="f", scheduler="x")]), ServerFacts("a1111"))

    assert losses(found) == [("adetailer[0].scheduler", "dropped")]


def test_more_detectors_than_the_server_takes_are_refused() -> None:
    units = [ADetailer(model="f")] * 3
    roomy = ServerFacts("a1111", options={"ad_max_models": 3})

    assert losses(A1111.compile(Txt2Img(model="m", adetailer=units), ServerFacts("a1111"))) == [
        ("adetailer", "refused")
    ]
    assert not A1111.compile(Txt2Img(model="m", adetailer=units), roomy).losses


def test_a_server_without_adetailer_leaves_faces_as_they_are() -> None:
    found = A1111.compile(Txt2Img(model="m", adetailer=[ADetailer(model="f")]), ServerFacts("a1111", scripts=()))

    assert losses(found) == [("adetailer", "dropped")]
    assert "alwayson_scripts" not in found.call.body


def test_ultimate_upscale_is_sent_with_all_eighteen_arguments(png) -> None:
    part = UltimateUpscale(
        upscaler="4x-UltraSharp", scale=2, redraw="Chess", seams="Half tile offset pass", seams_mask_blur=6
    )
    found = over(png, UPSCALERS, ultimate_upscale=part)

    assert found.call.body["script_name"] == "Ultimate SD upscale"
    assert found.call.body["script_args"] == [
        *(None, 512, 0, 8, 32, 64, 0.35, 16, 3),
        *(False, 1, False, 6, 2, 2, 2048, 2048, 2.0),
    ]
    # Each side is rounded up to a multiple of 64.
    assert (found.expected.images, found.expected.size) == (1, (256, 128))
    assert not {"width", "height", "denoising_strength"} & found.asked.keys()


def test_ultimate_upscale_goes_to_the_requests_size_unless_a_scale_is_named(png) -> None:
    found = over(png, UPSCALERS, width=512, height=256, ultimate_upscale=UltimateUpscale())

    assert found.call.body["script_args"][14] == 0
    assert found.expected.size == (512, 256)


@pytest.mark.parametrize(
    ("facts", "name", "index", "lost"),
    [
        (ServerFacts("a1111"), "Lanczos", 1, []),
        (ServerFacts("a1111"), "4x", 0, [("ultimate_upscale.upscaler", "refused")]),
        (UPSCALERS, "4x", 0, [("ultimate_upscale.upscaler", "refused")]),
    ],
)
def test_an_upscaler_is_named_by_its_place_in_the_list(png, facts, name: str, index: int, lost: list) -> None:
    found = over(png, facts, ultimate_upscale=UltimateUpscale(upscaler=name, scale=2))

    assert found.call.body["script_args"][8] == index
    assert losses(found) == lost


def test_the_image_before_the_seams_were_repaired_is_no_result(png) -> None:
    found = over(png, UPSCALERS, ultimate_upscale=UltimateUpscale(scale=2, seams="Band pass"))

    read = A1111.read_reply({"images": ["first", "last"], "info": '{"all_seeds": [5]}'}, found)

    assert (read.images, read.maps, read.seeds) == (("last",), ("first",), (5,))


@pytest.mark.parametrize(
    ("part", "images", "maps"),
    [
        ({}, ("only",), ("map",)),
        ({"seams": "Band pass"}, ("last",), ("first", "map")),
        ({"seams": "Band pass", "redraw": "None"}, ("only",), ("map",)),
    ],
    ids=["one pass", "two passes", "seams alone"],
)
def test_a_map_behind_what_ultimate_upscale_made_is_no_result(
    png, part: dict, images: tuple[str, ...], maps: tuple[str, ...]
) -> None:
    found = over(png, UPSCALERS, ultimate_upscale=UltimateUpscale(scale=2, **part))
    sent = [*images, *maps] if images == ("only",) else ["first", "last", "map"]

    read = A1111.read_reply({"images": sent, "info": '{"all_seeds": [5]}'}, found)

    assert (read.images, read.maps) == (images, maps)


def test_a_further_program_of_the_family_has_native_keys_of_its_own() -> None:
    tables = NativeTables.of("koboldcpp", "txt2img")

    assert tables.where == "native.koboldcpp"
    assert "distilled_guidance" in tables.body


def test_sd_upscale_names_its_upscaler(png) -> None:
    found = over(png, UPSCALERS, sd_upscale=SDUpscale(upscaler="4x-UltraSharp", scale=3, overlap=32))

    assert found.call.body["script_name"] == "SD upscale"
    assert found.call.body["script_args"] == [None, 32, "4x-UltraSharp", 3.0]
    assert found.expected.images is None
    assert losses(over(png, UPSCALERS, sd_upscale=SDUpscale(upscaler="x"))) == [("sd_upscale.upscaler", "refused")]


@pytest.mark.parametrize("part", [{"sd_upscale": SDUpscale()}, {"ultimate_upscale": UltimateUpscale()}])
def test_a_script_that_is_not_there_or_makes_one_image_only_is_refused(png, part: dict) -> None:
    [name] = part

    assert losses(over(png, ServerFacts("a1111", scripts=()), **part)) == [(name, "refused")]
    assert losses(over(png, batch_size=2, **part)) == [(name, "refused")]


def test_a_native_script_gives_any_number_of_images(png) -> None:
    args = {"script_name": "x/y/z plot", "script_args": [1]}
    found = over(png, native={"a1111": args})

    assert (found.expected.images, found.expected.size) == (None, None)
    assert A1111.read_reply({"images": ["a", "b"], "info": '{"all_seeds": [5]}'}, found).images == ("a", "b")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"ControlNet": {"args": [{"modell": "x"}]}}, r"args\[0\]\.modell: unknown key of a unit; did you mean model"),
        ({"ControlNet": {"args": [{"weight": 3}]}}, "weight: must be between 0 and 2"),
        ({"ControlNet": {"args": [{"resize_mode": 1}]}}, "resize_mode: must be one of Just Resize"),
        ({"ControlNet": {"args": [{"guidance": 1, "guidance_end": 1}]}}, "guidance_end and guidance are the same"),
        ({"ControlNet": {"args": [{"mask": "a", "mask_image": "b"}]}}, "mask_image and mask are the same"),
        ({"adetailer": {"args": [True, False, {"ad_mask_k_largest": 1}]}}, "ad_mask_k_largest: unknown key"),
        ({"ControlNet": {"args": ["zzz"]}}, r"ControlNet\.args\[0\]: must be an object, a unit, not 'zzz'"),
        ({"ControlNet": {"args": [{"weight": 1}, None]}}, r"args\[1\]: must be an object, a unit, not None"),
        ({"ControlNet": {"args": [True, {}]}}, r"args\[0\]: must be an object, a unit, not True"),
        ({"ADetailer": {"args": ["zzz"]}}, r"args\[0\]: must be an object, a unit, not 'zzz'"),
        ({"ADetailer": {"args": [True, False, "zzz"]}}, r"args\[2\]: must be an object, a unit, not 'zzz'"),
        ({"ADetailer": {"args": [True, {}, False]}}, r"args\[2\]: must be an object, a unit, not False"),
        ({"adetailer": {"args": [{"ad_steps": 0}]}}, "ad_steps: must be at least 1"),
        ({"tiled vae": {"args": [True, 100]}}, r"args\[1\] \(encoder_tile_size\): must be between 256 and 4096"),
        ({"tiled vae": {"args": [True] * 8}}, "takes at most 7 arguments, not 8"),
        ({"tiled diffusion": {"args": ["yes"]}}, r"args\[0\] \(enabled\): must be bool"),
    ],
)
def test_wrong_arguments_of_a_known_script_are_refused_since_the_server_swallows_them(script: dict, words: str) -> None:
    with pytest.raises(PayloadError, match=words):
        native(alwayson_scripts=script)


def test_right_arguments_and_unknown_scripts_pass() -> None:
    scripts = {
        "ControlNet": {"args": [{"resize_mode": "Inner Fit (Scale to Fit)", "lowvram": True}]},
        "ADetailer": {"args": [True, {"ad_model": "face_yolov8n.pt"}]},
        "Tiled Diffusion": {"args": [True, "MultiDiffusion"]},
        "somebody's script": {"args": [1, "2", None]},
    }

    assert native(alwayson_scripts=scripts).call.body["alwayson_scripts"] == scripts


def test_a_script_that_runs_alone_must_have_all_its_arguments() -> None:
    with pytest.raises(PayloadError, match="SD upscale takes 4 arguments in all, not 2"):
        native(script_name="SD Upscale", script_args=[None, 64])
    assert native(script_name="mine", script_args=[1]).call.body["script_args"] == [1]


def test_schedules_are_dropped_from_native_keys_of_a_version_without() -> None:
    request = Txt2Img(model="m", native={"a1111": {"hr_scheduler": "Karras"}})

    assert losses(A1111.compile(request, ServerFacts("a1111", schedulers=()))) == [
        ("native.a1111.hr_scheduler", "dropped")
    ]


LISTED = ServerFacts("a1111", models=("m",), samplers=("Euler a", "DPM++ 2M"), schedulers=("automatic", "karras"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sampler_name", "Euler Dy Karras", "no sampler 'Euler Dy Karras'; did you mean Euler a"),
        ("sampler_index", "Nonsense", "no sampler 'Nonsense'"),
        ("hr_sampler_name", "Euler", "no sampler 'Euler'; did you mean Euler a"),
        ("scheduler", "Nonsense", "takes Automatic for a schedule it does not know, such as 'Nonsense'"),
        ("hr_scheduler", "SGM Uniform", "takes Automatic"),
    ],
)
def test_a_native_sampler_that_the_server_does_not_list_is_refused(key: str, value: str, message: str) -> None:
    found = A1111.compile(Txt2Img(model="m", native={"a1111": {key: value}}), LISTED)

    assert losses(found) == [(f"native.a1111.{key}", "refused")]
    assert message in found.losses[0].message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sampler_name", "DPM++ 2M Karras"), ("sampler_index", "euler a"), ("hr_sampler_name", "Use same sampler"),
        ("scheduler", "Karras"), ("hr_scheduler", "karras"), ("hr_scheduler", "Use same scheduler"), ("sampler_name", ""),
    ],
)  # fmt: skip
def test_a_native_sampler_that_the_server_lists_in_some_way_is_sent_as_it_is(key: str, value: str) -> None:
    found = A1111.compile(Txt2Img(model="m", native={"a1111": {key: value}}), LISTED)

    assert losses(found) == []
    assert found.call.body[key] == value


def test_a_native_schedule_is_doubted_where_the_servers_list_is_not_known() -> None:
    found = native(scheduler="Nonsense")

    assert losses(found) == [("native.a1111.scheduler", "replaced")]


def test_a_native_unit_that_does_not_say_that_it_is_on_is_told_as_off() -> None:
    units = [{"model": "tile"}, {"enabled": False, "model": "tile"}, {}]
    found = native(alwayson_scripts={"ControlNet": {"args": units}})

    assert found.call.body["alwayson_scripts"]["ControlNet"]["args"] == units
    assert losses(found) == [("native.a1111.alwayson_scripts.ControlNet.args[0]", "dropped")]
    assert "is off: it says no `enabled`" in found.losses[0].message


def test_a_native_refiner_that_is_not_there_is_refused() -> None:
    keys = {"refiner_checkpoint": "sd_xl_refinr", "refiner_switch_at": 0.8}
    request = Txt2Img(model="m", native={"a1111": keys})
    found = A1111.compile(request, ServerFacts("a1111", models=("m", "sd_xl_refiner")))

    assert losses(found) == [("native.a1111.refiner_checkpoint", "refused")]
    assert "did you mean sd_xl_refiner?" in found.losses[0].message


def test_native_model_names_are_sent_as_the_server_lists_them() -> None:
    keys = {"refiner_checkpoint": "SD_XL_Refiner", "override_settings": {"sd_model_checkpoint": "M.ckpt"}}
    facts = ServerFacts("a1111", models=("m.safetensors [aaaaaaaaaa]", "m", "sd_xl_refiner.safetensors"))
    found = A1111.compile(Txt2Img(inherit=True, native={"a1111": keys}), facts)

    assert found.call.body["override_settings"] == {"sd_model_checkpoint": "m.safetensors [aaaaaaaaaa]"}
    assert found.call.body["refiner_checkpoint"] == "sd_xl_refiner.safetensors"
    assert [kind for field, kind in losses(found) if "checkpoint" in field] == ["replaced", "replaced"]
