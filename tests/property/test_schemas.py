"""Laws of requests: what is written reads back the same, and a change changes what it names."""

from __future__ import annotations

import json
import pickle

from hypothesis import given
from hypothesis import strategies as st

from sdclient.errors import PayloadError
from sdclient.schemas import (
    ControlNet,
    Enlarge,
    HiresFix,
    Img2Img,
    Lora,
    Refiner,
    Tiled,
    Tiles,
    Txt2Img,
    apply_sets,
)
from sdclient.schemas.jsontext import parse_json
from sdclient.schemas.payload import payload_text

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
fractions = st.floats(0, 1)
sides = st.integers(1, 32).map(lambda count: count * 64)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
tiles = st.builds(Tiles, width=st.integers(128, 2048), height=st.integers(128, 2048), overlap=st.integers(0, 1024))
controls = st.builds(
    ControlNet,
    model=names,
    weight=st.floats(0, 2),
    guidance_end=fractions,
    guidance_start=st.just(0.0),
    threshold_a=st.none() | st.floats(-1, 100),
    pixel_perfect=st.none() | st.booleans(),
)
FIELDS = {
    "prompt": st.text(max_size=40),
    "model": names,
    "seed": st.integers(-1, 2**32 - 1),
    "steps": st.integers(1, 150),
    "cfg_scale": st.floats(0, 50),
    "sampler_name": names,
    "batch_size": st.integers(1, 64),
    "styles": st.lists(names, max_size=3),
    "tiling": st.booleans(),
    "refiner": st.builds(Refiner, model=names, switch_at=fractions),
    "enlarge": st.builds(Enlarge, model=names, scale=st.floats(1, 8)),
    "loras": st.lists(st.builds(Lora, model=names, weight=st.floats(-10, 10)), max_size=3),
    "controls": st.lists(controls, max_size=3),
    "tiled": st.builds(Tiled, diffusion=st.none() | tiles, vae=st.none() | tiles),
    "hires": st.builds(HiresFix, first_width=sides, first_height=sides, strength=fractions),
    "native": st.dictionaries(st.just("a1111"), st.dictionaries(st.text(max_size=5), json_values, max_size=3)),
    "overlays": st.dictionaries(
        st.sampled_from(["a1111", "forge"]), st.fixed_dictionaries({}, optional={"steps": st.integers(1, 150)})
    ),
}
requests = st.fixed_dictionaries({}, optional=FIELDS).map(lambda values: Txt2Img(**values))


@given(requests)
def test_json_reads_back_as_the_same_request(request: Txt2Img) -> None:
    copy = Txt2Img.from_mapping(json.loads(request.model_dump_json(exclude_unset=True)))

    assert copy == request
    assert copy.model_fields_set == request.model_fields_set


@given(requests)
def test_pickling_keeps_everything(request: Txt2Img) -> None:
    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 - our own bytes


@given(requests)
def test_the_text_of_a_payload_file_holds_the_whole_request(request: Txt2Img) -> None:
    whole = json.loads(payload_text(request))

    assert whole.pop("kind") == "txt2img"
    values = whole.pop("request")
    assert Txt2Img.from_mapping({**values, "overlays": whole}) == request.replace(overlays=request.overlays)


@given(requests, st.integers(1, 150))
def test_a_replaced_field_is_the_only_one_that_changes(request: Txt2Img, steps: int) -> None:
    copy = request.replace(steps=steps)

    assert copy.steps == steps
    rest = copy.model_dump(exclude={"steps", "overlays"})
    assert rest == request.model_dump(exclude={"steps", "overlays"})
    assert copy.for_dialect("a1111", "forge").steps == steps


@given(requests)
def test_merging_twice_is_merging_once(request: Txt2Img) -> None:
    merged = request.for_dialect("a1111")

    assert merged.for_dialect("a1111") == merged


@given(requests, st.integers(1, 150))
def test_a_set_on_the_command_line_is_a_replace(request: Txt2Img, steps: int) -> None:
    changed = apply_sets(request, [f"steps={steps}"]).for_dialect("a1111")

    assert changed == request.replace(steps=steps).for_dialect("a1111")


@given(st.sampled_from(sorted(Img2Img.model_fields)), json_values)
def test_any_value_makes_a_request_or_one_of_our_errors(name: str, value: object) -> None:
    try:
        request = Img2Img(**{name: value})
    except PayloadError:
        return
    assert request.model_fields_set == {name}


@given(st.text(max_size=200))
def test_any_text_is_json_or_one_of_our_errors(text: str) -> None:
    try:
        value = parse_json(text, "x.json")
    except PayloadError:
        return
    assert json.loads(text) == value


@given(st.text(max_size=60))
def test_any_set_is_a_change_or_one_of_our_errors(text: str) -> None:
    request = Txt2Img(steps=3, overlays={"a1111": {"steps": 4}})

    try:
        changed = apply_sets(request, [text])
    except PayloadError:
        return
    assert isinstance(changed, Txt2Img)
