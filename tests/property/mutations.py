"""Good replies spoiled in one to four places, out of a number: the same number spoils a reply the same way every time."""

from __future__ import annotations

import base64
import copy
import io
import json
import os
import random
import struct
import zlib
from contextlib import suppress

from PIL import Image

IS_CI = bool(os.environ.get("CI"))
SHOWN_CHARS = 3000


def encode(image: Image.Image, kind: str = "PNG") -> str:
    file = io.BytesIO()
    image.save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def bomb(width: int, height: int) -> str:
    """Return a small PNG that claims a giant image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00" * 100_000)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return base64.b64encode(data).decode()


SIDE_PX = 128
GOOD = encode(Image.linear_gradient("L").resize((SIDE_PX, SIDE_PX)).convert("RGB"))
NASTY: tuple[object, ...] = (
    None, True, False, 0, -1, 1, 2, 10**30, 10**4000, -(10**400), 1e308, -0.5, float("nan"), float("inf"),
    "", "x", "../../etc/passwd", "\x00", "\ud800", "ÿ" * 50, "a" * 100_000, "<script>", "http://gpu/x", "7", "NaN",
    [], {}, [[]], [None], {"": None}, {"images": []}, {"detail": [[]]}, [[[[[[[[]]]]]]]],
    GOOD, GOOD[:-8], GOOD[:-1], GOOD + "=", "data:image/png;base64," + GOOD, "%%%%", "QUJD",
    bomb(30_000, 30_000), bomb(65_535, 1), bomb(SIDE_PX, SIDE_PX),
    encode(Image.new("RGB", (SIDE_PX, SIDE_PX), "black")), encode(Image.new("RGB", (64, 64), "red")),
    encode(Image.linear_gradient("L").resize((SIDE_PX, SIDE_PX)).convert("RGB"), "JPEG"),
    encode(Image.new("RGBA", (SIDE_PX, SIDE_PX), (0, 0, 0, 255))),
    encode(Image.new("1", (SIDE_PX, SIDE_PX), 1), "GIF"),
)  # fmt: skip
_BROKEN = ("", "[" * 100_000, '{"a":' * 50_000, "\x00", "NaN", "{", "]", "9" * 5000)


def spoiled(reply: object, seed: int) -> bytes:
    """Return a reply as bytes, changed in its values, its shape, its nesting, its bytes."""
    rng = random.Random(seed)
    body = copy.deepcopy(reply)
    for _ in range(rng.randint(1, 4)):
        body = _changed(rng, body)
    text = json.dumps(body)
    if rng.random() < 0.1:
        at = rng.randint(0, len(text))
        text = text[:at] + rng.choice(_BROKEN)
    data = text.encode("utf-8", "surrogatepass")
    return data[: rng.randint(0, len(data))] if rng.random() < 0.05 else data


def _nasty(rng: random.Random) -> object:
    how = rng.random()
    if how < 0.8:
        return rng.choice(NASTY)
    if how < 0.9:
        return "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x110000)))) for _ in range(8))
    return rng.choice((rng.randint(-(2**70), 2**70), rng.uniform(-1e9, 1e9)))


def _changed(rng: random.Random, body: object) -> object:
    if isinstance(body, dict) and body and rng.random() < 0.9:
        return _changed_object(rng, body)
    if isinstance(body, list) and body and rng.random() < 0.9:
        return _changed_list(rng, body)
    return _nasty(rng)


def _changed_object(rng: random.Random, body: dict[str, object]) -> dict[str, object]:
    key = rng.choice(sorted(body))
    value, how = body[key], rng.randrange(6)
    if how == 0:
        return {name: kept for name, kept in body.items() if name != key}
    if how == 1:
        return {**body, rng.choice(("x", "", "images", "detail", "../..", "\ud800")): _nasty(rng)}
    if key == "info" and isinstance(value, str) and value.startswith("{"):
        with suppress(ValueError):
            # What was changed before may be no JSON any more.
            return {**body, key: json.dumps(_changed(rng, json.loads(value)))}
    return {**body, key: _changed(rng, value)}


def _changed_list(rng: random.Random, body: list[object]) -> list[object]:
    at = rng.randrange(len(body))
    how = rng.randrange(4)
    if how == 0:
        return [*body[:at], *body[at + 1 :]]
    if how == 1:
        return body * rng.choice([2, 50]) if len(body) < 1000 else body
    return [*body[:at], _changed(rng, body[at]), *body[at + 1 :]]
