"""Laws of importing: nothing is lost, so compiling back gives what was read, in its canonical spelling."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdclient.dialects import DIALECTS, ServerFacts
from sdclient.dialects.facts import Key, drawthings_keys
from sdclient.dialects.importing import a1111, drawthings, drawthings_forms, import_payload, snapshot
from sdclient.dialects.importing.image import import_infotext
from sdclient.dialects.tables import body_keys
from sdclient.errors import PayloadError
from sdclient.infotext import Infotext, format_infotext
from sdclient.schemas import Img2Img, Txt2Img, load_request
from sdclient.schemas.payload import payload_text


def image(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (90, 20, 40)).save(file, "PNG")
    return file.getvalue()


IMAGE = base64.b64encode(image(128, 128)).decode()
names = st.sampled_from(["a.ckpt", "b_f16.ckpt", "Some Name", "", "x:<>"])
fractions = st.floats(0, 1)
loras = st.lists(
    st.fixed_dictionaries(
        {"file": names, "weight": st.floats(-12, 12)}, optional={"mode": st.sampled_from(["all", "base", "odd", None])}
    ),
    max_size=2,
)
controls = st.lists(
    st.fixed_dictionaries(
        {"file": st.none() | names, "weight": st.floats(-1, 3), "guidanceStart": fractions, "guidanceEnd": fractions},
        optional={
            "noPrompt": st.booleans(),
            "globalAveragePooling": st.booleans(),
            "downSamplingRate": st.floats(0, 10),
            "controlImportance": st.sampled_from(["balanced", "prompt", "control", "odd"]),
            "inputOverride": st.sampled_from(["", "Tile", "tile", "Depth", "odd"]),
            "targetBlocks": st.none() | st.just([]) | st.just(["x"]),
        },
    ),
    max_size=2,
)


def value_of(key: Key) -> st.SearchStrategy[object]:
    """Values that a key takes, and now and then one that it does not."""
    if key.name == "loras":
        return loras
    if key.name == "controls":
        return controls
    if key.labels:
        return st.sampled_from(key.labels)
    low, high = key.minimum, key.maximum
    kinds = {
        "int": st.integers(-3 if low is None else int(low), 3000 if high is None else int(high)),
        "float": st.floats(-3 if low is None else low, 3000 if high is None else high, allow_nan=False),
        "bool": st.booleans(),
        "string": names,
        "array": st.lists(st.integers(0, 3), max_size=2),
        "object": st.just({}),
        "null": st.none(),
    }
    return st.one_of([kinds[kind] for kind in sorted(key.types) if kind in kinds])


@st.composite
def drawthings_bodies(draw: st.DrawFn) -> dict[str, object]:
    """Bodies with any keys, each in one of its spellings."""
    keys = draw(st.lists(st.sampled_from(list(drawthings_keys().values())), unique_by=lambda key: key.name))
    body = {draw(st.sampled_from((key.name, *key.aliases))): draw(value_of(key)) for key in keys}
    if draw(st.booleans()):
        body |= {"hires_fix": True, "hires_fix_width": 512, "hires_fix_height": draw(st.sampled_from([512, 1024]))}
        body.pop("enable_hr", None)
        body.pop("firstphase_width", None)
        body.pop("firstphase_height", None)
    return body


def compiled(request, name: str) -> dict[str, object]:
    """The body of a request that went through a file, as a user would have it."""
    whole = request.for_dialect(*DIALECTS[name].overlay_names)
    if isinstance(whole, Img2Img) and whole.init_image is None:
        whole = whole.replace(init_image=image(64, 64))
    return dict(DIALECTS[name].compile(whole, ServerFacts(name)).call.body)


def through_a_file(request, folder) -> object:
    path = folder / "imported.json"
    path.write_text(payload_text(request, "about"), encoding="utf-8")
    return load_request(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("imported")


def drawthings_canonical(body: dict[str, object]) -> dict[str, object]:
    clean, _ = drawthings.canonical_body(body)
    clean.pop("init_images", None)
    if isinstance(clean.get("controls"), list):
        clean["controls"] = [drawthings_forms.whole_control(row) for row in clean["controls"]]
    if isinstance(clean.get("loras"), list):
        clean["loras"] = [{**row, "mode": row.get("mode") or "all"} for row in clean["loras"]]
    if clean.get("prompt", "") is None:
        del clean["prompt"]
    return clean


@given(body=drawthings_bodies(), kind=st.sampled_from(["txt2img", "img2img", None]))
def test_a_draw_things_body_compiles_back_to_itself(folder, body: dict, kind: str | None) -> None:
    found = import_payload(body, form="drawthings", kind=kind)

    sent = compiled(through_a_file(found.request, folder), "drawthings")
    wanted = drawthings_canonical(body)
    if found.request.kind == "txt2img":
        wanted.pop("strength", None)
    assert {key: sent.get(key) for key in wanted} == wanted
    keys = drawthings_keys()
    assert found.left_out.keys() <= body.keys()
    # Whatever was not said is what we send by ourselves, never what a window shows.
    assert not {name for name in found.left_out if name in keys and keys[name].usable and body[name] is not None} - {
        "strength",
        "denoising_strength",
    }


@given(body=drawthings_bodies())
def test_a_copied_configuration_is_the_body_in_another_spelling(body: dict) -> None:
    spelled = {drawthings_keys()[name].name: value for name, value in body.items()}
    config = {_camel(name): _number(name, value) for name, value in spelled.items()}

    read, left = drawthings_forms.body_from_config(config)

    off = ("upscaler", "refiner_model", "clip_l_text", "open_clip_g_text", "t5_text")
    assert read == {name: None if name in off and value == "" else value for name, value in spelled.items()}
    assert not left


RENAMED = {key: name for name, key in drawthings_forms.fact_table("drawthings_config")["renamed"].items()}


def _camel(name: str) -> str:
    found = RENAMED.get(name, re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name))
    assert drawthings_forms.request_key(found) == name
    return found


def _number(name: str, value: object) -> object:
    labels = drawthings_keys()[name].labels
    return labels.index(value) if value in labels and name in ("sampler", "seed_mode") else value


@given(body=drawthings_bodies())
def test_a_window_is_frozen_or_said_to_be_out_of_range(folder, body: dict) -> None:
    found = snapshot("drawthings", body)

    sent = compiled(through_a_file(found.request, folder), "drawthings")
    wanted = drawthings_canonical(body)
    wanted.pop("strength", None)
    assert {key: sent.get(key) for key in wanted} == wanted


UNIT = st.fixed_dictionaries(
    {"model": names},
    optional={
        "enabled": st.booleans(),
        "module": st.sampled_from(["none", "tile_resample", "canny"]),
        "weight": st.floats(0, 2),
        "image": st.none() | st.just(IMAGE),
        "guidance_start": fractions,
        "guidance_end": fractions,
        "save_detected_map": st.sampled_from([False]),
        "control_mode": st.sampled_from(["Balanced", "My prompt is more important"]),
        "low_vram": st.booleans(),
        "threshold_a": st.floats(1, 8),
    },
)
DETECTOR = st.fixed_dictionaries(
    {"ad_model": names},
    optional={"ad_steps": st.integers(1, 9), "ad_use_steps": st.booleans(), "ad_tab_enable": st.booleans()},
)
SCRIPTS = st.fixed_dictionaries(
    {},
    optional={
        "ControlNet": st.fixed_dictionaries({"args": st.lists(UNIT, max_size=2)}),
        "ADetailer": st.fixed_dictionaries(
            {"args": st.tuples(st.booleans(), st.booleans(), DETECTOR).map(list) | st.lists(DETECTOR, max_size=2)}
        ),
        "other": st.fixed_dictionaries({"args": st.lists(st.integers(), max_size=2)}),
    },
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "sd_model_checkpoint": names,
        "sd_vae": names,
        "CLIP_stop_at_last_layers": st.integers(1, 14),
        "randn_source": st.just("CPU"),
    },
)
HIRES = st.fixed_dictionaries(
    {
        "enable_hr": st.sampled_from([True]),
        "hr_resize_x": st.sampled_from([0, 512, 1024]),
        "hr_resize_y": st.sampled_from([512, 1024]),
        "hr_upscaler": names,
        "denoising_strength": fractions,
        "width": st.sampled_from([512, 768]),
        "height": st.sampled_from([512, 768]),
    },
    optional={"hr_second_pass_steps": st.integers(0, 160), "hr_scale": st.just(2.0)},
)


@st.composite
def web_bodies(draw: st.DrawFn, name: str, kind: str) -> dict[str, object]:
    table = body_keys(name, kind)
    special = ("override_settings", "alwayson_scripts", "init_images", "mask", "script_name", "script_args")
    plain = [key for key in table.values() if key.name not in special]
    keys = draw(st.lists(st.sampled_from(plain), unique_by=lambda key: key.name))
    body = {key.name: draw(value_of(key)) for key in keys}
    if kind == "txt2img" and draw(st.booleans()):
        body |= draw(HIRES)
    if draw(st.booleans()):
        body |= {"override_settings": draw(OPTIONS), "alwayson_scripts": draw(SCRIPTS)}
    if kind == "img2img" and draw(st.booleans()):
        body |= {"init_images": [IMAGE]}
    return body


@pytest.mark.parametrize("name", ["a1111", "forge"])
@pytest.mark.parametrize("kind", ["txt2img", "img2img"])
@given(data=st.data())
def test_a_web_body_compiles_back_to_itself(folder, name: str, kind: str, data: st.DataObject) -> None:
    body = data.draw(web_bodies(name, kind))
    wanted, left = a1111.canonical_body(body, name, kind)

    found = import_payload(body, form=name, kind=kind)

    sent = compiled(through_a_file(found.request, folder), name)
    for key in ("override_settings", "alwayson_scripts"):
        inner = wanted.pop(key, {})
        have = {title.casefold(): value for title, value in sent.pop(key, {}).items()}
        assert {title.casefold(): have.get(title.casefold()) for title in inner} == {
            title.casefold(): value for title, value in inner.items()
        }
    assert {key: sent.get(key) for key in wanted} == wanted
    assert found.left_out == left
    # What was not said is not sent, but for what the server needs, or we always say.
    added = {"hr_upscaler", "init_images", "width", "height", "hr_additional_modules", "hr_cfg", "hr_distilled_cfg"}
    assert sent.keys() - wanted.keys() <= added


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
KEYS = [*drawthings_keys().spellings, *body_keys("a1111", "img2img"), "c", "uc", "v2", "lora", "size", "seedMode"]


@given(body=st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=9), json_values, max_size=9))
def test_any_object_is_a_request_or_an_error_of_ours(body: dict) -> None:
    try:
        found = import_payload(body)
    except PayloadError:
        return
    assert found.request.kind in ("txt2img", "img2img")
    json.loads(payload_text(found.request))


LABELS = {
    "Steps": st.integers(1, 150).map(str),
    "Sampler": st.sampled_from(["DPM++ 2M", "Euler a"]),
    "Schedule type": st.sampled_from(["Karras", "Automatic"]),
    "CFG scale": st.floats(0, 50).map(lambda value: f"{value:g}"),
    "Seed": st.integers(0, 2**32 - 1).map(str),
    "Model": st.sampled_from(["sdxl", "a b"]),
    "Clip skip": st.integers(1, 12).map(str),
    "Version": st.just("v1.10.1"),
}


@given(st.fixed_dictionaries({}, optional=LABELS), st.text("abc <:>,\n", max_size=20))
def test_an_infotext_says_in_fields_what_it_says_in_labels(labels: dict, prompt: str) -> None:
    labels = {"Steps": "20", "Size": "512x768", "Seed": "1", **labels}

    found = import_infotext(format_infotext(Infotext(prompt, "", labels)))

    assert (found.request.width, found.request.height, str(found.request.seed)) == (512, 768, labels["Seed"])
    assert str(found.request.steps) == labels["Steps"]
    assert found.request.model == labels.get("Model")
    assert found.request.sampler_name == labels.get("Sampler")
    assert not found.left_out


@given(st.text(max_size=200) | st.binary(max_size=50).map(lambda raw: raw.decode("latin-1")))
def test_any_text_of_an_image_is_a_request_or_an_error_of_ours(text: str) -> None:
    found: Txt2Img | Img2Img | None = None
    with contextlib.suppress(PayloadError):
        found = import_infotext(text).request

    # What was read is a payload that is read again.
    assert found is None or type(found).from_mapping(json.loads(payload_text(found))["request"], where="again") == found
