"""Draw Things: every key it names is sent once and in range, and what it cannot do is said."""

import base64

import pytest

from sdclient.dialects import ServerFacts, dialect_named
from sdclient.dialects.base import Expected, Loss
from sdclient.dialects.facts import drawthings_defaults, drawthings_keys
from sdclient.errors import BadReplyError, PayloadError
from sdclient.schemas import ControlNet, Enlarge, HiresFix, Img2Img, Lora, Refiner, Tiled, Tiles, Txt2Img

DT = dialect_named("drawthings")
FACTS = ServerFacts("drawthings")
ASKED = {"model": "m.ckpt", "seed": 7}
# What a window shows: every key of the table, as GET options lists them.
WINDOW = dict.fromkeys(drawthings_keys())


def facts(*without: str, **more: object) -> ServerFacts:
    shown = {name: value for name, value in WINDOW.items() if name not in without} | more
    return ServerFacts("drawthings", options=shown)


def body_of(request, server: ServerFacts = FACTS):
    return DT.compile(request, server).call.body


def losses_of(request, server: ServerFacts = FACTS) -> dict[str, Loss]:
    return {loss.field: loss for loss in DT.compile(request, server).losses}


def test_every_sendable_key_is_sent_and_no_other() -> None:
    body = body_of(Txt2Img(**ASKED), facts())

    assert set(body) == {key.name for key in drawthings_keys().values() if key.usable}


def test_nothing_is_lost_of_a_plain_request() -> None:
    assert not DT.compile(Txt2Img(prompt="a fox", width=1024, height=768, **ASKED), facts()).losses


def test_what_is_unset_takes_our_default_and_not_the_windows() -> None:
    body = body_of(Txt2Img(**ASKED), facts(upscaler="left_over.ckpt", steps=99))

    left = {name: value for name, value in body.items() if name not in ("model", "seed", "strength")}
    assert left == {name: value for name, value in drawthings_defaults().items() if name in left}
    assert (body["upscaler"], body["loras"], body["controls"], body["prompt"]) == (None, [], [], "")


def test_fields_are_sent_under_the_apps_own_names() -> None:
    request = Txt2Img(
        prompt="a",
        negative_prompt="b",
        steps=30,
        cfg_scale=5,
        distilled_cfg_scale=3,
        clip_skip=2,
        n_iter=2,
        batch_size=3,
        restore_faces=True,
        **ASKED,
    )

    body = body_of(request)

    assert (body["prompt"], body["negative_prompt"], body["steps"], body["guidance_scale"]) == ("a", "b", 30, 5.0)
    assert (body["guidance_embed"], body["clip_skip"], body["batch_count"], body["batch_size"]) == (3.0, 2, 2, 3)
    assert (body["restore_faces"], body["seed"], body["model"]) == (True, 7, "m.ckpt")
    assert DT.compile(request, FACTS).expected == Expected(images=6, size=(1024, 1024))


def test_a_shift_that_is_asked_for_is_not_overruled_by_the_size() -> None:
    assert body_of(Txt2Img(**ASKED))["resolution_dependent_shift"] is True
    assert body_of(Txt2Img(shift=3, **ASKED))["resolution_dependent_shift"] is False


def test_txt2img_forces_strength_1() -> None:
    assert body_of(Txt2Img(**ASKED))["strength"] == 1.0


@pytest.mark.parametrize(
    ("size", "hint"), [((1024, 768), (1024, 768)), ((4096, 2048), (2048, 2048)), ((128, 192), (128, 192))]
)
def test_the_models_size_hints_follow_the_size_within_their_range(size: tuple, hint: tuple) -> None:
    body = body_of(Txt2Img(width=size[0], height=size[1], **ASKED))

    for prefix in ("original", "target", "negative_original"):
        assert (body[f"{prefix}_width"], body[f"{prefix}_height"]) == hint


def test_a_size_between_the_steps_is_refused_with_the_nearest() -> None:
    losses = losses_of(Txt2Img(width=1000, height=1024, **ASKED))

    assert losses["width"].severity == "error"
    assert "960 and 1024 are the nearest" in losses["width"].message
    assert "height" not in losses


def test_a_size_that_the_app_does_not_take_is_refused() -> None:
    assert losses_of(Txt2Img(width=64, height=128, **ASKED))["width"].severity == "error"


def test_no_model_is_refused_unless_inherit_accepts_the_windows() -> None:
    refused = losses_of(Txt2Img(seed=7))["model"]
    accepted = losses_of(Txt2Img(seed=7, inherit=True))["model"]

    assert (refused.kind, refused.severity) == ("inherited", "error")
    assert (accepted.kind, accepted.severity) == ("inherited", "warning")
    assert "set inherit" in refused.message
    assert "set inherit" not in accepted.message
    assert "model" not in body_of(Txt2Img(seed=7, inherit=True))
    assert "model" not in losses_of(Txt2Img(seed=7, native={"drawthings": {"model": "m.ckpt"}}))


def test_a_seed_that_nobody_drew_is_a_loss() -> None:
    assert losses_of(Txt2Img(model="m"))["seed"].kind == "inherited"
    assert losses_of(Txt2Img(model="m", seed=-1))["seed"].kind == "inherited"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vae", "v"),
        ("subseed", 3),
        ("subseed_strength", 0.5),
        ("styles", ["a"]),
        ("tiling", True),
        ("eta", 0.5),
        ("scheduler", "Karras"),
    ],
)
def test_what_the_app_does_not_have_is_dropped_and_said(name: str, value: object) -> None:
    loss = losses_of(Txt2Img(**{name: value}, **ASKED))[name]

    assert (loss.kind, loss.severity) == ("dropped", "warning")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"batch_size": 5}, "batch_size"),
        ({"shift": 9}, "shift"),
        ({"distilled_cfg_scale": 40}, "distilled_cfg_scale"),
        ({"width": 64}, "width"),
    ],
)
def test_what_is_out_of_the_apps_range_is_refused_with_the_range(values: dict, field: str) -> None:
    loss = losses_of(Txt2Img(**values, **ASKED))[field]

    assert (loss.kind, loss.severity) == ("refused", "error")
    assert "must be between" in loss.message


def test_a_key_that_this_version_lacks_is_left_out_and_said_only_if_asked_for() -> None:
    old = facts("clip_skip", "tea_cache")

    assert "clip_skip" not in body_of(Txt2Img(**ASKED), old)
    assert "clip_skip" not in losses_of(Txt2Img(**ASKED), old)
    assert losses_of(Txt2Img(clip_skip=2, **ASKED), old)["clip_skip"].kind == "dropped"
    assert "clip_skip" not in body_of(Txt2Img(clip_skip=2, **ASKED), old)


def test_keys_that_are_newer_than_this_client_are_a_note() -> None:
    loss = losses_of(Txt2Img(**ASKED), facts(brand_new=1))["native.drawthings"]

    assert (loss.kind, loss.severity) == ("inherited", "note")
    assert "brand_new" in loss.message


@pytest.mark.parametrize(
    ("sampler", "scheduler", "label"),
    [("DPM++ 2M", "Karras", "DPM++ 2M Karras"), ("DPM++ 2M Karras", None, "DPM++ 2M Karras"), ("TCD", None, "TCD")],
)
def test_sampler_and_schedule_become_one_label(sampler: str, scheduler: str | None, label: str) -> None:
    request = Txt2Img(sampler_name=sampler, scheduler=scheduler, **ASKED)

    assert body_of(request)["sampler"] == label
    assert not losses_of(request)


def test_a_sampler_that_is_only_near_is_approximated() -> None:
    loss = losses_of(Txt2Img(sampler_name="Euler", **ASKED))["sampler_name"]

    assert (loss.kind, loss.severity) == ("approximated", "warning")
    assert "Draw Things has no Euler; DDIM is used" in loss.message


@pytest.mark.parametrize(
    ("name", "hint"), [("UniPCC", "did you mean UniPC"), ("zzz", "it has DPM++ 2M Karras, Euler a")]
)
def test_a_sampler_that_nothing_is_near_to_is_refused_with_what_there_is(name: str, hint: str) -> None:
    loss = losses_of(Txt2Img(sampler_name=name, **ASKED))["sampler_name"]

    assert loss.severity == "error"
    assert hint in loss.message


def test_the_refiner_is_sent_and_off_is_null() -> None:
    body = body_of(Txt2Img(refiner=Refiner(model="r.ckpt", switch_at=0.7), **ASKED))

    assert (body["refiner_model"], body["refiner_start"]) == ("r.ckpt", 0.7)
    assert body_of(Txt2Img(**ASKED))["refiner_model"] is None


def test_a_refiner_that_is_the_model_itself_is_ignored_there() -> None:
    assert losses_of(Txt2Img(refiner=Refiner(model="m.ckpt"), **ASKED))["refiner"].kind == "dropped"


def test_the_hires_fix_gives_the_first_pass() -> None:
    request = Txt2Img(
        width=1024, height=1024, hires=HiresFix(first_width=960, first_height=960, strength=0.35), **ASKED
    )

    body = body_of(request)

    assert (body["hires_fix"], body["hires_fix_width"], body["hires_fix_height"]) == (True, 960, 960)
    assert (body["hires_fix_strength"], body["width"], body["height"]) == (0.35, 1024, 1024)
    assert not losses_of(request)


@pytest.mark.parametrize(
    ("hires", "field", "kind", "severity"),
    [
        (HiresFix(first_width=1000, first_height=960), "hires", "refused", "error"),
        (HiresFix(first_width=1024, first_height=960), "hires", "refused", "error"),
        (HiresFix(first_width=64, first_height=64), "hires.first_width", "refused", "error"),
        (HiresFix(first_width=960, first_height=960, strength=1), "hires.strength", "dropped", "warning"),
        (HiresFix(first_width=960, first_height=960, upscaler="Latent"), "hires.upscaler", "approximated", "warning"),
        (HiresFix(first_width=960, first_height=960, upscaler="Lanczos"), "hires.upscaler", "approximated", "note"),
        (HiresFix(first_width=960, first_height=960, steps=9), "hires.steps", "dropped", "warning"),
    ],
)
def test_what_a_hires_fix_loses_is_said(hires: HiresFix, field: str, kind: str, severity: str) -> None:
    loss = losses_of(Txt2Img(width=1024, height=1024, hires=hires, **ASKED))[field]

    assert (loss.kind, loss.severity) == (kind, severity)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_upscaler_runs_in_the_same_call(scale: int) -> None:
    compiled = DT.compile(Txt2Img(width=512, height=512, enlarge=Enlarge(model="u.ckpt", scale=scale), **ASKED), FACTS)

    assert (compiled.call.body["upscaler"], compiled.call.body["upscaler_scale"]) == ("u.ckpt", scale)
    assert type(compiled.call.body["upscaler_scale"]) is int
    assert compiled.expected.size == (512 * scale, 512 * scale)
    assert not compiled.then
    assert not compiled.losses


@pytest.mark.parametrize("scale", [1, 1.5, 3, 8])
def test_other_factors_are_refused(scale: float) -> None:
    assert losses_of(Txt2Img(enlarge=Enlarge(model="u", scale=scale), **ASKED))["enlarge.scale"].severity == "error"


def test_the_size_is_unknown_where_the_network_chooses_its_factor() -> None:
    native = {"drawthings": {"upscaler": "u.ckpt", "upscaler_scale": 0}}

    assert DT.compile(Txt2Img(native=native, **ASKED), FACTS).expected.size is None


def test_loras_are_an_array_and_folders_are_refused() -> None:
    request = Txt2Img(loras=[Lora(model="a.ckpt", weight=0.7, mode="base"), Lora(model="x/b.ckpt")], **ASKED)

    assert body_of(request)["loras"] == [{"file": "a.ckpt", "weight": 0.7, "mode": "base"}]
    assert losses_of(request)["loras[1].model"].severity == "error"


def test_tiles_are_sent_and_brought_to_steps_of_64() -> None:
    request = Txt2Img(
        tiled=Tiled(diffusion=Tiles(width=512, height=640, overlap=128), vae=Tiles(width=500, height=512, overlap=0)),
        **ASKED,
    )

    body = body_of(request)

    assert (body["tiled_diffusion"], body["tiled_decoding"]) == (True, True)
    assert [body[f"diffusion_tile_{name}"] for name in ("width", "height", "overlap")] == [512, 640, 128]
    assert [body[f"decoding_tile_{name}"] for name in ("width", "height", "overlap")] == [448, 512, 64]
    assert {field: loss.kind for field, loss in losses_of(request).items()} == {
        "tiled.vae.width": "approximated",
        "tiled.vae.overlap": "approximated",
    }


def test_tiles_that_are_off_stay_off() -> None:
    body = body_of(Txt2Img(tiled=Tiled(), **ASKED))

    assert (body["tiled_diffusion"], body["tiled_decoding"]) == (False, False)


@pytest.fixture
def img2img(png):
    def make(width: int = 128, height: int = 128, **values: object) -> Img2Img:
        return Img2Img(init_image=png(width, height), **{**ASKED, **values})

    return make


def test_img2img_sends_one_bare_image_of_exactly_the_size(img2img, png) -> None:
    request = img2img(width=128, height=192, denoising_strength=0.3)

    compiled = DT.compile(request, FACTS)

    assert [base64.b64decode(image, validate=True) for image in compiled.call.body["init_images"]] == [png(128, 192)]
    assert compiled.call.route.path == "/sdapi/v1/img2img"
    assert compiled.call.body["strength"] == 0.3
    assert not compiled.losses


def test_img2img_without_a_size_takes_the_images(img2img) -> None:
    compiled = DT.compile(img2img(192, 320), FACTS)

    assert (compiled.call.body["width"], compiled.call.body["height"]) == (192, 320)
    assert compiled.expected.size == (192, 320)


def test_img2img_with_one_side_takes_the_images_other(img2img) -> None:
    body = DT.compile(Img2Img(init_image=img2img(192, 320).init_image, width=192, **ASKED), FACTS).call.body

    assert (body["width"], body["height"]) == (192, 320)


def test_an_image_of_another_size_is_refused_with_both(img2img) -> None:
    request = img2img(128, 192).replace(width=256, height=256)

    loss = losses_of(request)["init_image"]

    assert loss.severity == "error"
    assert "this one is 128x192, the request is 256x256" in loss.message


def test_img2img_without_an_image_is_refused() -> None:
    with pytest.raises(PayloadError, match="init_image: missing"):
        DT.compile(Img2Img(**ASKED), FACTS)


def test_a_mask_is_refused_and_what_goes_with_it_dropped(img2img, png) -> None:
    losses = losses_of(
        img2img(mask=png(128, 128), inpainting_fill=1, inpaint_full_res=True, resize_mode=1, mask_blur=4)
    )

    assert losses["mask"].severity == "error"
    assert losses["inpainting_fill"].kind == losses["inpaint_full_res"].kind == "dropped"
    assert losses["resize_mode"].severity == "note"


def test_a_control_carries_every_field_the_app_wants(img2img) -> None:
    control = ControlNet(
        model="t.ckpt",
        module="tile_resample",
        weight=0.5,
        threshold_a=2,
        guidance_start=0.1,
        guidance_end=0.9,
        control_mode="My prompt is more important",
    )
    request = img2img(controls=[control])

    assert DT.compile(request, FACTS).call.body["controls"] == [
        {
            "file": "t.ckpt",
            "weight": 0.5,
            "guidanceStart": 0.1,
            "guidanceEnd": 0.9,
            "noPrompt": False,
            "globalAveragePooling": True,
            "downSamplingRate": 2.0,
            "controlImportance": "prompt",
            "inputOverride": "Tile",
            "targetBlocks": [],
        }
    ]
    assert not losses_of(request)


@pytest.mark.parametrize(
    ("module", "hint", "severity"),
    [
        ("none", "", None),
        ("tile_resample", "Tile", None),
        ("pose", "Pose", None),
        ("SoftEdge", "SoftEdge", None),
        ("tile_colorfix", "Tile", "note"),
        ("canny", "Canny", None),
        ("depth_midas", "Depth", "note"),
        ("dw_openpose_full", "Pose", "note"),
        ("ip-adapter_clip_sd15", "", "warning"),
    ],
)
def test_a_preprocessor_becomes_the_apps_hint(img2img, module: str, hint: str, severity: str | None) -> None:
    request = img2img(controls=[ControlNet(model="t", module=module)])

    loss = losses_of(request).get("controls[0].module")

    assert body_of(request)["controls"][0]["inputOverride"] == hint
    assert (loss.severity if loss else None) == severity


def test_what_a_control_loses_is_said(img2img, png) -> None:
    control = ControlNet(
        model="t",
        module="canny",
        image=png(),
        threshold_a=100,
        threshold_b=200,
        hr_option="Low res only",
        resize_mode="Just Resize",
        processor_res=512,
        pixel_perfect=True,
    )

    losses = losses_of(img2img(controls=[control]))

    assert {field.removeprefix("controls[0]."): loss.severity for field, loss in losses.items()} == {
        "image": "error",
        "threshold_a": "warning",
        "threshold_b": "warning",
        "hr_option": "warning",
        "resize_mode": "note",
        "processor_res": "note",
        "pixel_perfect": "note",
    }


def test_a_down_sampling_rate_out_of_range_is_refused(img2img) -> None:
    request = img2img(controls=[ControlNet(model="t", module="tile_resample", threshold_a=9)])

    assert losses_of(request)["controls[0].threshold_a"].severity == "error"


def test_a_control_in_txt2img_would_follow_the_canvas() -> None:
    request = Txt2Img(controls=[ControlNet(model="t")], **ASKED)

    assert losses_of(request)["controls"].severity == "error"
    assert losses_of(request.replace(inherit=True))["controls"].severity == "warning"


def test_only_three_routes_exist() -> None:
    assert DT.route("options").path == "/sdapi/v1/options"
    assert DT.route("progress") is None
    assert DT.route("interrupt") is None


def test_a_reply_has_images_and_nothing_else() -> None:
    compiled = DT.compile(Txt2Img(**ASKED), FACTS)

    reply = DT.read_reply({"images": ["aGk=", "aG8="]}, compiled)

    assert reply.images == ("aGk=", "aG8=")
    assert (reply.seeds, reply.infotexts, reply.maps, reply.grid) == ((), (), (), None)
    assert reply.applied == {}
    with pytest.raises(BadReplyError):
        DT.read_reply({"images": []}, compiled)


@pytest.mark.parametrize(
    ("detail", "field"),
    [
        ('Unrecognized keys: ["stage_2_steps"]', "stage_2_steps"),
        ('Unrecognized keys: ["cfg_scale", "b"]', "cfg_scale"),
        ('Unrecognized keys: ["upscaler"]', "enlarge.model"),
        ('Unrecognized keys: ["init_images"]', "init_image"),
        ('Unrecognized keys: ["sharpness"]', "sharpness"),
        ("Fehlende Datei", None),
    ],
)
def test_an_error_gives_the_apps_words_and_the_field(detail: str, field: str | None) -> None:
    words = DT.read_error(422, {"error": "HTTPException", "detail": detail, "body": "", "errors": ""})

    assert (words.text, words.field, words.is_overload) == (detail, field, False)


def test_native_keys_are_sent_as_they_are() -> None:
    body = body_of(Txt2Img(native={"drawthings": {"sharpness": 2, "crop_top": 20, "cfg_scale": 3}}, **ASKED))

    assert (body["sharpness"], body["crop_top"], body["guidance_scale"]) == (2, 20, 3)
    assert "cfg_scale" not in body


@pytest.mark.parametrize(
    ("native", "message"),
    [
        pytest.param({"sharpnes": 2}, "unknown key; did you mean sharpness", id="typo"),
        pytest.param({"sharpness": 31}, "must be between 0 and 30, not 31", id="range"),
        pytest.param({"sharpness": "2"}, "must be float, not '2'", id="type"),
        pytest.param({"sharpness": True}, "must be float, not True", id="bool"),
        pytest.param({"sharpness": None}, "must be float, not None", id="null"),
        pytest.param({"crop_top": 1.5}, "must be int", id="half"),
        pytest.param({"seed_mode": "Scale"}, "did you mean Scale Alike", id="label"),
        pytest.param({"compression_artifacts": "jpeg"}, "refuses every request that carries this key", id="unusable"),
        pytest.param({"init_images": ["x"]}, "the image goes into init_image", id="init"),
        pytest.param({"restore_faces": True}, "use the field restore_faces", id="faces"),
        pytest.param({"batch_size": 2}, "use the field batch_size", id="always sent"),
        pytest.param({"steps": 3}, "steps sets this already", id="clash"),
        pytest.param({"cfg_scale": 3}, "cfg_scale sets this already", id="alias-clash"),
        pytest.param({"n_iter": 2, "batch_count": 2}, "native.drawthings.n_iter sets this already", id="two-aliases"),
        pytest.param({"loras": [{"file": "a"}]}, "each have weight", id="lora"),
        pytest.param({"loras": [3]}, "each have weight", id="lora-number"),
        pytest.param({"controls": [{"weight": 1}]}, "guidanceStart, guidanceEnd, noPrompt", id="control"),
        pytest.param({"loras": [{"weight": True}]}, "each have weight", id="lora-bool"),
    ],
)
def test_a_native_key_that_the_app_would_refuse_is_refused_here(native: dict, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        DT.compile(Txt2Img(steps=9, cfg_scale=5, native={"drawthings": native}, **ASKED), FACTS)

    assert message in str(caught.value)
    assert "native.drawthings." in str(caught.value)


def test_native_loras_and_controls_are_taken_whole() -> None:
    lora = {"file": "a", "weight": 1}
    control = {
        "weight": 1,
        "guidanceStart": 0,
        "guidanceEnd": 1,
        "noPrompt": True,
        "globalAveragePooling": False,
        "downSamplingRate": 1,
        "controlImportance": "control",
        "inputOverride": "",
        "targetBlocks": [],
    }

    body = body_of(Txt2Img(native={"drawthings": {"loras": [lora], "controls": [control]}}, **ASKED))

    assert (body["loras"], body["controls"]) == ([lora], [control])


def test_a_default_that_follows_from_the_size_is_left_out_where_this_version_lacks_it() -> None:
    assert "original_width" not in body_of(Txt2Img(width=512, height=512, **ASKED), facts("original_width"))


def test_an_upscaler_in_a_folder_is_refused() -> None:
    request = Txt2Img(enlarge=Enlarge(model="x/u.ckpt"), **ASKED)

    assert losses_of(request)["enlarge.model"].severity == "error"
    assert body_of(request)["upscaler"] is None


def test_a_native_key_that_this_version_lacks_is_dropped_and_said() -> None:
    request = Txt2Img(native={"drawthings": {"sharpness": 2}}, **ASKED)

    assert losses_of(request, facts("sharpness"))["native.drawthings.sharpness"].kind == "dropped"
    assert "sharpness" not in body_of(request, facts("sharpness"))


def test_a_server_that_takes_no_size_is_not_expected_to_keep_to_one() -> None:
    found = DT.compile(Txt2Img(prompt="x", inherit=True), ServerFacts("drawthings", options={"model": "m"}))

    assert found.expected.size is None
