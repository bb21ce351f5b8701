"""Other forms of Draw Things' settings, put into the keys of a request: copied configurations, and images' metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.facts import Key, drawthings_keys, fact_table, object_of, texts_of

__all__ = ["Body", "body_from_config", "body_from_image", "request_key", "whole_control"]

Body = dict[str, JsonValue]

_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


def body_from_config(config: Mapping[str, JsonValue]) -> tuple[Body, dict[str, str]]:
    """Return a copied configuration by the keys of a request, and what of it no request can say."""
    table = fact_table("drawthings_config")
    reasons = {name: str(why) for name, why in object_of(table, "not_sent").items()}
    empty_is_off = texts_of(table["off_when_empty"])
    body: Body = {}
    left: dict[str, str] = {}
    for name, value in config.items():
        key = request_key(name)
        if name in reasons or key not in drawthings_keys():
            left[name] = reasons.get(name, "no key of the HTTP server")
        else:
            body[key] = None if key in empty_is_off and value == "" else _label(drawthings_keys()[key], value)
    return body, {name: why for name, why in left.items() if config[name] not in (None, "", 0)}


def body_from_image(metadata: Mapping[str, JsonValue]) -> tuple[Body, dict[str, str]]:
    """Return what Draw Things wrote into an image by the keys of a request, and what no request can say."""
    table = fact_table("drawthings_config")
    names = {name: str(key) for name, key in object_of(table, "image_keys").items()}
    sizes = {name: str(key) for name, key in object_of(table, "image_sizes").items()}
    reasons = {name: str(why) for name, why in object_of(table, "not_sent").items()}
    config = metadata.get("v2")
    body, left = body_from_config(config) if isinstance(config, dict) else ({}, {})
    for name, value in metadata.items():
        size = _SIZE.fullmatch(value) if name in sizes and isinstance(value, str) else None
        if size:
            prefix = f"{sizes[name]}_" if sizes[name] else ""
            body |= {f"{prefix}width": int(size[1]), f"{prefix}height": int(size[2])}
        elif name in ("lora", "control"):
            key = "loras" if name == "lora" else "controls"
            body.setdefault(key, _elements(value))
        elif names.get(name, name) in drawthings_keys():
            # The list of settings rounds, the configuration does not.
            body.setdefault(names.get(name, name), value)
        elif name != "v2":
            left[name] = reasons.get(name, "no key of the HTTP server")
    return body, left


def _elements(value: JsonValue) -> JsonValue:
    # Unverified [drawthings-image-parts]: older images may hold one object, or another name for the file.
    items = value if isinstance(value, list) else [value]
    rows = [item for item in items if isinstance(item, dict)]
    named: list[JsonValue] = [
        {**{name: inner for name, inner in row.items() if name != "model"}, "file": row.get("file", row.get("model"))}
        for row in rows
    ]
    return named


def request_key(name: str) -> str:
    """Return the key of a request for one of a copied configuration."""
    renamed = object_of(fact_table("drawthings_config"), "renamed").get(name)
    if isinstance(renamed, str):
        return renamed
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _label(key: Key, value: JsonValue) -> JsonValue:
    """Return the label for a number that stands for it."""
    if "enum" in key.types and type(value) is int and 0 <= value < len(key.labels):
        return key.labels[value]
    return value


def whole_control(row: Body) -> JsonValue:
    """Return a control with every field the server wants; images and old payloads tell only some."""
    fields = cast("list[Body]", object_of(object_of(fact_table("drawthings"), "element_fields"), "controls")["fields"])
    defaults = {str(one["name"]): one["schema_default"] for one in fields if "schema_default" in one}
    return {**defaults, **{name: value for name, value in row.items() if value is not None or name == "file"}}
