"""The JSON Schema of payload files, for editors: our fields, and each server's own keys under ``native``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic import BaseModel, JsonValue

from sdclient.dialects.facts import Key, KeyTable, drawthings_keys
from sdclient.dialects.tables import body_keys
from sdclient.schemas.docs import field_docs
from sdclient.schemas.generation import DIALECT_NAMES, Img2Img, Txt2Img
from sdclient.schemas.parts import ControlNet, Enlarge, HiresFix, Lora, Refiner, Tiled, Tiles
from sdclient.schemas.scripts import ADetailer, SDUpscale, UltimateUpscale

__all__ = ["payload_schema"]

Json = dict[str, JsonValue]

_PARTS: tuple[type[BaseModel], ...] = (
    *(ADetailer, ControlNet, Enlarge, HiresFix, Lora, Refiner, SDUpscale, Tiled, Tiles, UltimateUpscale),
)
_NOT_IN_FILES = ("overlays",)
_JSON_TYPES: Mapping[str, str] = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "string": "string",
    "array": "array",
    "object": "object",
    "null": "null",
}


def payload_schema() -> Json:
    """Return the JSON Schema (draft 2020-12) of a payload file."""
    defs: Json = {}
    for model in (Txt2Img, Img2Img):
        whole = cast("Json", model.model_json_schema(ref_template="#/$defs/{model}"))
        defs |= cast("Json", _with_ranges(whole.pop("$defs", {})))
        defs[model.__name__] = _with_ranges(whole)
    described: tuple[type[BaseModel], ...] = (Txt2Img, Img2Img, *_PARTS)
    for one in described:
        _describe(cast("Json", defs[one.__name__]), one)
    for name in (Txt2Img.__name__, Img2Img.__name__):
        _finish_request(cast("Json", defs[name]))
    partial = {f"Partial{name}": _partial(value) for name, value in defs.items()}
    overlays: Json = {name: _overlay(partial, name) for name in DIALECT_NAMES}
    properties: Json = {
        "kind": {"enum": ["txt2img", "img2img"], "description": "Which request it is; may be left out."},
        "about": {"type": "string", "description": "One line for people."},
        "request": {
            "anyOf": [{"$ref": "#/$defs/Txt2Img"}, {"$ref": "#/$defs/Img2Img"}],
            "description": "What to draw, in words that mean the same on every server.",
        },
        **overlays,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sdclient payload",
        "type": "object",
        "required": ["request"],
        "additionalProperties": False,
        "properties": properties,
        "$defs": {**defs, **partial, **{f"native_{name}": _native(name) for name in DIALECT_NAMES}},
    }


def _with_ranges(value: JsonValue) -> JsonValue:
    """Return a schema with ranges in JSON Schema's words: behind a validator of ours pydantic leaves its own."""
    if isinstance(value, list):
        return [_with_ranges(item) for item in value]
    if not isinstance(value, dict):
        return value
    names = {"ge": "minimum", "le": "maximum"}
    return {names.get(name, name): _with_ranges(inner) for name, inner in value.items()}


def _describe(schema: Json, model: type[BaseModel]) -> None:
    properties = cast("dict[str, Json]", schema["properties"])
    for name, text in field_docs(model).items():
        properties[name]["description"] = text
        properties[name].pop("title", None)
    for name in ("init_image", "mask", "image"):
        if name in properties:
            # A file holds a path or a data: URL where Python code may hold bytes.
            properties[name] = {"type": ["string", "null"], "description": properties[name]["description"]}


def _finish_request(schema: Json) -> None:
    properties = cast("Json", schema["properties"])
    for name in _NOT_IN_FILES:
        properties.pop(name, None)
    tables: Json = {name: {"$ref": f"#/$defs/native_{name}"} for name in DIALECT_NAMES}
    properties["native"] = {"type": "object", "additionalProperties": False, "properties": tables}


def _overlay(partial: Mapping[str, JsonValue], dialect: str) -> JsonValue:
    properties: Json = {}
    for name in (f"Partial{Txt2Img.__name__}", f"Partial{Img2Img.__name__}"):
        fields = cast("Json", cast("Json", partial[name])["properties"])
        properties |= {field: {"$ref": f"#/$defs/{name}/properties/{field}"} for field in fields}
    properties["native"] = {"$ref": f"#/$defs/native_{dialect}"}
    return {
        "type": "object",
        "description": f"Fields of the request that are others on {dialect}, and its own keys under native.",
        "additionalProperties": False,
        "properties": properties,
    }


def _partial(value: JsonValue) -> JsonValue:
    """Return a definition for overlays, where what is left out comes from the request."""
    if isinstance(value, list):
        return [_partial(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _partial(inner) for name, inner in value.items() if name not in ("required", "default")}
    ref = kept.get("$ref")
    if isinstance(ref, str) and "/native_" not in ref:
        kept["$ref"] = ref.replace("#/$defs/", "#/$defs/Partial")
    return kept


def _native(dialect: str) -> JsonValue:
    """Return the schema of a server's own keys."""
    properties: Json = {}
    for table in _tables(dialect):
        properties |= {name: _key(table[name]) for name in table.spellings if table[name].usable}
    # SD.Next has families of keys that nobody listed one by one.
    return {"type": "object", "properties": properties, "additionalProperties": dialect == "sdnext"}


def _tables(dialect: str) -> tuple[KeyTable, ...]:
    if dialect == "drawthings":
        return (drawthings_keys(),)
    return body_keys(dialect, "txt2img"), body_keys(dialect, "img2img")


def _key(key: Key) -> JsonValue:
    schema: Json = {}
    if key.labels:
        schema["enum"] = list(key.labels)
        return schema
    types: list[JsonValue] = [_JSON_TYPES[name] for name in sorted(key.types) if name in _JSON_TYPES]
    if types and "any" not in key.types:
        schema["type"] = types if len(types) > 1 else types[0]
    if key.minimum is not None:
        schema["minimum"] = key.minimum
    if key.maximum is not None:
        schema["maximum"] = key.maximum
    return schema
