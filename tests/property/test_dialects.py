"""Laws of dialects, judged by the simulator's own checks: what compiles without refusal, a server takes."""

from __future__ import annotations

import copy
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdclient.dialects import DIALECTS, Compiled, Dialect, ServerFacts, is_refused
from sdclient.dialects.detect import detect
from sdclient.dialects.draft import MASK_FIELDS
from sdclient.errors import BadReplyError, PayloadError, WrongServerError
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
    UltimateUpscale,
)
from sdclient.simulator.checks import coerce, decode_element, decode_strict, group_keys
from sdclient.simulator.facts import a1111_fields, drawthings_fields, forge_fields, sdnext_fields, small_fields

EXTRA = ("restore_faces", "init_images")
SAMPLERS = ["DPM++ 2M", "DPM++ 2M Karras", "Euler a", "Euler", "UniPC AYS", "TCD", "Restart", "Heun", "nonsense"]
MODULES = ["none", "tile_resample", "tile_colorfix", "canny", "depth_midas", "ip-adapter"]


def image(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (90, 20, 40)).save(file, "PNG")
    return file.getvalue()


IMAGES = {size: image(*size) for size in ((128, 128), (128, 192), (130, 128))}
maybe = st.none()
fractions = st.floats(0, 1)
names = st.sampled_from(["a.ckpt", "b.safetensors", "folder/c.ckpt", "d"])
sides = st.sampled_from([64, 128, 192, 500, 512, 1024, 2048, 4096])
tiles = st.builds(Tiles, width=st.integers(128, 2048), height=st.integers(128, 2048), overlap=st.integers(0, 1024))
controls = st.builds(
    ControlNet,
    model=names,
    module=st.sampled_from(MODULES),
    weight=st.floats(0, 2),
    image=st.none() | st.just(IMAGES[128, 128]),
    control_mode=st.sampled_from(["Balanced", "My prompt is more important", "ControlNet is more important"]),
    resize_mode=st.sampled_from([None, "Just Resize"]),
    processor_res=st.none() | st.integers(64, 4096),
    threshold_a=st.none() | st.floats(-1, 100),
    threshold_b=st.none() | st.floats(-1, 100),
    pixel_perfect=st.none() | st.booleans(),
    hr_option=st.sampled_from([None, "Both", "Low res only"]),
    union_control_type=st.sampled_from([None, "Tile"]),
)
COMMON = {
    "prompt": st.text(max_size=30),
    "negative_prompt": st.text(max_size=30),
    "model": names,
    "vae": names,
    "inherit": st.booleans(),
    "seed": st.integers(-1, 2**32 - 1),
    "subseed": st.integers(-1, 2**32 - 1),
    "subseed_strength": fractions,
    "steps": st.integers(1, 150),
    "cfg_scale": st.floats(0, 50),
    "distilled_cfg_scale": st.floats(0, 50),
    "sampler_name": st.sampled_from(SAMPLERS),
    "scheduler": st.sampled_from(["Karras", "sgm_uniform", "Automatic", "beta", "odd"]),
    "shift": st.floats(0, 10),
    "width": sides,
    "height": sides,
    "batch_size": st.integers(1, 8),
    "n_iter": st.integers(1, 100),
    "clip_skip": st.integers(1, 23),
    "styles": st.lists(st.text(max_size=5), max_size=2),
    "restore_faces": st.booleans(),
    "tiling": st.booleans(),
    "eta": fractions,
    "refiner": st.builds(Refiner, model=names, switch_at=fractions),
    "enlarge": st.builds(Enlarge, model=names, scale=st.sampled_from([1, 1.5, 2, 3, 4])),
    "loras": st.lists(st.builds(Lora, model=names, weight=st.floats(-10, 10)), max_size=2),
    "controls": st.lists(controls, max_size=2),
    "tiled": st.builds(Tiled, diffusion=st.none() | tiles, vae=st.none() | tiles),
    "adetailer": st.lists(
        st.builds(ADetailer, model=names, steps=st.none() | st.integers(1, 99), scheduler=st.sampled_from([None, "x"])),
        max_size=3,
    ),
}
HIRES = st.builds(
    HiresFix,
    first_width=st.just(64) | st.just(128),
    first_height=st.just(64) | st.just(128),
    strength=fractions,
    upscaler=st.sampled_from([None, "Latent", "Lanczos"]),
    steps=st.none() | st.integers(1, 150),
)
IMG2IMG = {
    "denoising_strength": fractions,
    "resize_mode": st.integers(0, 3),
    "image_cfg_scale": st.floats(0, 25),
    "mask": st.just(IMAGES[128, 128]),
    "mask_blur": st.integers(0, 64),
    "inpainting_fill": st.integers(0, 3),
    "inpaint_full_res": st.booleans(),
    "inpaint_full_res_padding": st.integers(0, 256),
    "inpainting_mask_invert": st.booleans(),
}
SCRIPTS = st.fixed_dictionaries({}) | st.one_of(
    st.fixed_dictionaries(
        {
            "ultimate_upscale": st.builds(
                UltimateUpscale, upscaler=st.sampled_from(["None", "Lanczos", "x"]), scale=st.none() | st.floats(1, 16)
            )
        }
    ),
    st.fixed_dictionaries({"sd_upscale": st.builds(SDUpscale, upscaler=names, scale=st.floats(1, 4))}),
)


def valid(cls: type, values: dict) -> Txt2Img | Img2Img | None:
    """A first pass that is larger than the image is no request; nothing is compiled then."""
    try:
        return cls(**values)
    except PayloadError:
        return None


txt2img = st.fixed_dictionaries({}, optional={**COMMON, "hires": HIRES}).map(lambda values: valid(Txt2Img, values))
img2img = st.tuples(
    st.fixed_dictionaries({"init_image": st.sampled_from(list(IMAGES.values()))}, optional={**COMMON, **IMG2IMG}),
    SCRIPTS,
).map(lambda both: valid(Img2Img, {**both[0], **both[1]}))
requests = (txt2img | img2img).filter(lambda request: request is not None)
option_names = st.sets(st.sampled_from([field.name for field in drawthings_fields()]))
window = st.none() | option_names.map(lambda absent: {f.name: 0 for f in drawthings_fields() if f.name not in absent})


@given(requests, window)
def test_draw_things_takes_what_compiles_without_refusal(request: Txt2Img | Img2Img, options: dict | None) -> None:
    compiled = DIALECTS["drawthings"].compile(request, ServerFacts("drawthings", options=options))
    body = dict(compiled.call.body)

    used = group_keys(body, drawthings_fields(), EXTRA)
    assert all(name == spelling for name, spelling in used.items())
    assert options is None or set(body) <= {*options, *EXTRA}
    for field in drawthings_fields():
        if field.name in used:
            decode_strict(field, body[field.name], None)
            # What is null must be a text that is switched off; for numbers it would mean what the window shows.
            assert body[field.name] is not None or field.kind == "string"
    for kind in ("loras", "controls"):
        for element in body.get(kind, []):
            decode_element(kind, drawthings_fields(kind), element)
    assert ("init_images" in body) == isinstance(request, Img2Img)
    if not is_refused(compiled.losses) and isinstance(request, Img2Img) and {"width", "height"} <= body.keys():
        assert request.init_image == IMAGES[body["width"], body["height"]]


FIELDS = {
    "a1111": lambda kind: a1111_fields(f"{kind}_request"),
    "forge": forge_fields,
    "sdnext": sdnext_fields,
    "sdcpp": lambda _: small_fields("stable_diffusion_cpp"),
    "koboldcpp": lambda _: small_fields("koboldcpp"),
}
# A key that the simulator's table holds under a family's name only.
FAMILIES = ("detailer_", "schedulers_")


@pytest.mark.parametrize("name", FIELDS)
@given(request=requests, knows_options=st.booleans())
def test_a_web_server_takes_what_compiles_without_refusal(
    name: str, request: Txt2Img | Img2Img, *, knows_options: bool
) -> None:
    options = {"hires_fix_refiner_pass": "second pass"} if knows_options else None
    compiled = DIALECTS[name].compile(request, ServerFacts(name, options=options))
    fields = {field.name: field for field in FIELDS[name](request.kind)}

    for key, value in compiled.call.body.items():
        assert key in fields or (name == "sdnext" and key.startswith(FAMILIES))
        if key in fields:
            sent, problem = coerce(fields[key], value)
            assert problem is None
            assert sent == value
        assert value is not None
    assert ("init_images" in compiled.call.body) == isinstance(request, Img2Img)
    assert "force_task_id" not in compiled.call.body
    if compiled.call.body.get("enable_hr"):
        assert "denoising_strength" in compiled.call.body
        assert name != "forge" or compiled.call.body["hr_additional_modules"] == ["Use same choices"]


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
@given(request=requests)
def test_every_field_that_was_set_is_sent_or_a_loss(dialect: Dialect, request: Txt2Img | Img2Img) -> None:
    needed = {"init_image": request.init_image} if isinstance(request, Img2Img) else {"width": 2048, "height": 2048}
    facts = ServerFacts(dialect.name)

    for name in request.model_fields_set - {"inherit", "init_image", "width", "height"}:
        value = getattr(request, name)
        # Without a mask there is nothing to lose of how to use it.
        base = {**needed, "mask": IMAGES[128, 128]} if name in MASK_FIELDS else needed
        plain = dialect.compile(type(request)(**base), facts)
        says_nothing = value in ((), None, Tiled(), type(request).model_fields[name].default) or (name, value) == (
            "seed",
            -1,
        )
        alone = dialect.compile(type(request)(**base, **{name: value}), facts)
        is_sent = (alone.call, alone.then) != (plain.call, plain.then)
        # What is off, and could not be switched on there, is as asked.
        told = alone if value is not False else dialect.compile(type(request)(**base, **{name: True}), facts)
        is_lost = any(loss.field.split(".")[0].split("[")[0] == name for loss in told.losses)
        assert is_sent or is_lost or says_nothing or _is_our_default(dialect, name, value)


def _is_our_default(dialect: Dialect, name: str, value: object) -> bool:
    """On Draw Things, asking for what our table sends anyway changes nothing."""
    body = dialect.compile(Txt2Img(), ServerFacts(dialect.name)).call.body
    keys = {"cfg_scale": "guidance_scale", "n_iter": "batch_count", "denoising_strength": "strength"}
    keys |= {"distilled_cfg_scale": "guidance_embed", "image_cfg_scale": "image_guidance", "sampler_name": "sampler"}
    if dialect.name != "drawthings":
        # Automatic is what servers do by themselves; stretching is what SD.Next is told anyway.
        return (name, value) in (("scheduler", "Automatic"), ("resize_mode", 0))
    if name == "sampler_name":
        return value in ("DPM++ 2M", "DPM++ 2M Karras")
    return body.get(keys.get(name, name)) == value or (name == "denoising_strength" and value == 0.75)


@given(requests)
def test_compiling_is_repeatable_and_leaves_the_request_alone(request: Txt2Img | Img2Img) -> None:
    before = copy.deepcopy(request)

    for dialect in DIALECTS.values():
        first, second = (dialect.compile(request, ServerFacts(dialect.name)) for _ in range(2))
        assert first == second
        assert json.dumps(first.call.body, allow_nan=False) == json.dumps(second.call.body)
    assert request == before


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(""),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
INFO = {"all_seeds": [1, 2], "index_of_first_image": 1, "infotexts": ["a"], "extra_generation_params": {"Refiner": 1}}
mutated_info = st.dictionaries(st.sampled_from(sorted(INFO)), json_values).map(lambda changed: {**INFO, **changed})
replies = json_values | st.fixed_dictionaries(
    {"images": json_values | st.lists(st.text(max_size=3), max_size=4)},
    optional={"info": json_values | mutated_info | mutated_info.map(json.dumps)},
)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
@given(body=replies)
def test_any_reply_is_read_or_a_bad_reply(dialect: Dialect, body: object) -> None:
    compiled = Compiled(dialect.compile(Txt2Img(), ServerFacts(dialect.name)).call)

    try:
        read = dialect.read_reply(body, compiled)
    except BadReplyError:
        return
    assert read.images
    assert all(isinstance(text, str) and text for text in read.images)
    assert len(read.seeds) <= len(read.images)
    assert all(type(seed) is int for seed in read.seeds)
    assert all(isinstance(value, int | float | str) for value in read.applied.values())


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
@given(body=json_values | st.fixed_dictionaries({}, optional=dict.fromkeys(["detail", "error", "errors"], json_values)))
def test_any_error_body_gives_short_printable_words(dialect: Dialect, body: object) -> None:
    words = dialect.read_error(500, body)

    assert len(words.text) <= 500
    assert words.text.isprintable()


@given(
    json_values | st.dictionaries(st.sampled_from(["model", "sd_model_checkpoint", "samples_format", "x"]), json_values)
)
def test_any_options_are_a_dialect_or_the_wrong_server(body: object) -> None:
    try:
        dialect = detect(body)
    except WrongServerError:
        return
    assert dialect in DIALECTS.values()
