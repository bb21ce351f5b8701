"""The JSON Schema of payload files: true to our fields, and to each server's tables."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from sdclient.dialects.jsonschema import payload_schema
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.docs import field_docs

SCHEMA = payload_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
PAYLOADS = sorted((Path(__file__).parents[3] / "payloads").glob("*.json"))


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_every_payload_that_ships_is_right(path: Path) -> None:
    assert not list(VALIDATOR.iter_errors(json.loads(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"request": {"steps": 0}},
        {"request": {"steps": "20"}},
        {"request": {"stepz": 20}},
        {"request": {}, "comfyui": {}},
        {"request": {}, "drawthings": {"native": {"sharpness": 99}}},
        {"request": {}, "drawthings": {"native": {"seed_mode": "scale alike"}}},
        {"request": {}, "drawthings": {"native": {"mask": "x"}}},
        {"request": {"native": {"a1111": {"seed_resize_from_w": "wide"}}}},
        {"request": {"refiner": {"switch_at": 0.5}}},
        {"request": {"refiner": {"model": "r", "switch_at": 1.5}}},
    ],
    ids=str,
)
def test_what_is_wrong_is_found(payload: dict) -> None:
    assert list(VALIDATOR.iter_errors(payload))


@pytest.mark.parametrize(
    "payload",
    [
        {"request": {}},
        {"request": {"init_image": "in.png", "mask": None}},
        {
            "request": {},
            "drawthings": {"refiner": {"model": "r"}, "native": {"sampler_name": "DDIM", "upscaler": None}},
        },
        {"request": {}, "sdnext": {"native": {"hdr_mode": 1}}},
        {"request": {"native": {"koboldcpp": {"frames": 2}}}},
    ],
    ids=str,
)
def test_what_is_right_passes(payload: dict) -> None:
    assert not list(VALIDATOR.iter_errors(payload))


@pytest.mark.parametrize("model", [Txt2Img, Img2Img])
def test_every_field_is_described(model: type) -> None:
    properties = SCHEMA["$defs"][model.__name__]["properties"]

    assert properties.keys() == model.model_fields.keys() - {"overlays"}
    for name, text in field_docs(model).items():
        assert name in ("overlays", "native") or properties[name]["description"] == text
