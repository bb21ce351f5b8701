"""Replies are untrusted: whatever a server answers becomes a valid result or one of our errors, within bounds."""

from __future__ import annotations

import base64
import copy
import io
import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from PIL import Image

from sdclient.client import PreparedGeneration, execute, finish
from sdclient.client.connection import Connection
from sdclient.client.generation import prepare
from sdclient.client.progress import task_state
from sdclient.dialects import DIALECTS
from sdclient.dialects.facts import drawthings_defaults
from sdclient.errors import BadReplyError, SDClientError
from sdclient.schemas import ControlNet, Enlarge, Refiner, Txt2Img
from sdclient.schemas.server import Progress
from sdclient.transport import CallLimits, CancelToken, HttpReply, parse_server_url

CLASSIC = {"CLIP_stop_at_last_layers": 1, "sd_model_checkpoint": "xl"}
OPTIONS = {
    "a1111": CLASSIC,
    "forge": {**CLASSIC, "forge_preset": "xl"},
    "sdnext": {**CLASSIC, "diffusers_offload_mode": "none"},
    "drawthings": {**drawthings_defaults(), "model": "xl.ckpt"},
}


class MemoryTransport:
    """Answers the generation with what it is given, everything else as a server that has nothing."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.status = 200
        self.body = b""
        self.extra = b""
        self.elapsed_s = 1.0

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limits: CallLimits | None = None,
        cancel: CancelToken | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> HttpReply:
        del method, body, headers, limits, cancel
        if on_sent is not None:
            on_sent()
        if url.endswith("/options"):
            options = OPTIONS.get(self.dialect, {"samples_format": "png", "sd_model_checkpoint": "xl"})
            return HttpReply(200, {}, json.dumps(options).encode(), 0.1)
        if url.endswith("/txt2img"):
            return HttpReply(self.status, {}, self.body, self.elapsed_s)
        if url.endswith(("/extra-single-image", "/internal/progress")):
            return HttpReply(200, {}, self.extra, 0.1)
        return HttpReply(404, {}, b'{"detail":"Not Found"}', 0.1)


def connection(dialect: str) -> tuple[Connection, MemoryTransport]:
    transport = MemoryTransport(dialect)
    return Connection(parse_server_url("http://gpu:7860"), transport, dialect), transport


REQUEST = Txt2Img(prompt="a fox", width=128, height=128, steps=3, seed=7, inherit=True, cfg_scale=5.0)


def encode(image: Image.Image, kind: str = "PNG") -> str:
    file = io.BytesIO()
    image.save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


GOOD = encode(Image.linear_gradient("L").resize((128, 128)).convert("RGB"))


def bomb(width: int, height: int) -> str:
    """Return a small PNG that claims a giant image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00" * 100_000)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return base64.b64encode(data).decode()


INFO = {
    "seed": 7,
    "all_seeds": [7],
    "steps": 3,
    "cfg_scale": 5.0,
    "sampler_name": "Euler",
    "width": 128,
    "height": 128,
    "index_of_first_image": 0,
    "infotexts": ["a fox\nSteps: 3, Seed: 7, Size: 128x128"],
    "sd_model_name": "xl",
    "extra_generation_params": {"ControlNet 0": "Model: tile, Weight: 0.5", "Refiner": "ref", "Refiner switch at": 0.7},
}
NASTY: tuple[object, ...] = (
    None, True, False, 0, -1, 1, 2, 10**30, 10**4000, -(10**400), 1e308, -0.5, float("nan"), float("inf"),
    "", "x", "../../etc/passwd", "\x00", "\ud800", "ÿ" * 50, "a" * 100_000, "<script>", "http://gpu/x",
    [], {}, [[]], [None], {"": None}, {"images": []},
    GOOD, GOOD[:-8], GOOD[:-1], GOOD + "=", "data:image/png;base64," + GOOD, "%%%%", "QUJD",
    bomb(30_000, 30_000), bomb(65_535, 1), bomb(128, 128),
    encode(Image.new("RGB", (128, 128), "black")), encode(Image.new("RGB", (64, 64), "red")),
    encode(Image.linear_gradient("L").resize((128, 128)).convert("RGB"), "JPEG"),
    encode(Image.new("RGBA", (128, 128), (0, 0, 0, 255))), encode(Image.new("1", (128, 128), 1), "GIF"),
)  # fmt: skip
nasty = st.sampled_from(NASTY) | st.text(max_size=20) | st.integers() | st.floats()


@st.composite
def mutated(draw: st.DrawFn, reply: object) -> bytes:
    """Return a reply as bytes, changed in one to four places: in its values, its shape, its nesting, its bytes."""
    body = copy.deepcopy(reply)
    for _ in range(draw(st.integers(1, 4))):
        body = _changed(draw, body)
    text = json.dumps(body)
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(["", "[" * 100_000, "\x00", "NaN", "{", "]"]))
    data = text.encode("utf-8", "surrogatepass")
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 19)) == 0 else data


def _changed(draw: st.DrawFn, body: object) -> object:
    if isinstance(body, dict) and body and draw(st.integers(0, 9)) > 0:
        return _changed_object(draw, body)
    if isinstance(body, list) and body and draw(st.integers(0, 9)) > 0:
        return _changed_list(draw, body)
    return draw(nasty)


def _changed_object(draw: st.DrawFn, body: dict[str, object]) -> dict[str, object]:
    key = draw(st.sampled_from(sorted(body)))
    value, how = body[key], draw(st.integers(0, 5))
    if how == 0:
        return {name: kept for name, kept in body.items() if name != key}
    if how == 1:
        return {**body, draw(st.text(max_size=8)): draw(nasty)}
    if key == "info" and isinstance(value, str) and value.startswith("{"):
        return {**body, key: json.dumps(_changed(draw, json.loads(value)))}
    return {**body, key: _changed(draw, value)}


def _changed_list(draw: st.DrawFn, body: list[object]) -> list[object]:
    at = draw(st.integers(0, len(body) - 1))
    how = draw(st.integers(0, 3))
    if how == 0:
        return [*body[:at], *body[at + 1 :]]
    if how == 1:
        return body * draw(st.sampled_from([2, 50]))
    return [*body[:at], _changed(draw, body[at]), *body[at + 1 :]]


def outcome(prepared: PreparedGeneration) -> str:
    """Finish a generation; say which of our errors it ended in, or check the result through and through."""
    message = ""
    try:
        result = finish(execute(prepared, sleep=lambda _: None))
    except SDClientError as exc:
        message, name = str(exc), type(exc).__name__
    if message:
        assert len(message) < 3000
        assert message.encode()
        return name
    assert len(result.images) == 1
    for image in result.images:
        assert image.pil.size == image.size
        assert not image.facts.all_black
        assert image.seed is None or 0 <= image.seed < 2**63
        assert (image.infotext or "").encode() is not None
    assert json.dumps([asdict(change) for change in result.changed], allow_nan=False, ensure_ascii=False).encode()
    assert repr(result).encode()
    return "a result"


BOUNDED = settings(max_examples=1000, deadline=2000, suppress_health_check=list(HealthCheck))
A1111_REQUEST = REQUEST.replace(refiner=Refiner(model="ref", switch_at=0.7))


@BOUNDED
@given(data=mutated({"images": [GOOD, GOOD], "parameters": {}, "info": json.dumps(INFO)}))
def test_whatever_a1111_answers_is_a_valid_result_or_one_of_our_errors(data: bytes) -> None:
    server, transport = connection("a1111")
    transport.body = data

    event(outcome(PREPARED["a1111"](server)))


@BOUNDED
@given(data=mutated({"images": [GOOD]}))
def test_whatever_draw_things_answers_is_a_valid_result_or_one_of_our_errors(data: bytes) -> None:
    server, transport = connection("drawthings")
    transport.body = data

    event(outcome(PREPARED["drawthings"](server)))


@settings(max_examples=2000, deadline=2000, suppress_health_check=list(HealthCheck))
@given(
    data=mutated({"images": [GOOD], "parameters": {}, "info": json.dumps(INFO)}),
    dialect=st.sampled_from(sorted(set(DIALECTS) - {"a1111", "drawthings"})),
)
def test_whatever_any_other_program_answers_is_a_valid_result_or_one_of_our_errors(data: bytes, dialect: str) -> None:
    server, transport = connection(dialect)
    transport.body = data

    event(f"{dialect}: {outcome(prepare(server, REQUEST))}")


@settings(max_examples=300, deadline=2000, suppress_health_check=list(HealthCheck))
@given(data=mutated({"image": encode(Image.linear_gradient("L").resize((256, 256)).convert("RGB")), "html_info": ""}))
def test_whatever_an_upscaler_answers_is_a_valid_result_or_one_of_our_errors(data: bytes) -> None:
    server, transport = connection("a1111")
    transport.body = json.dumps({"images": [GOOD], "info": ""}).encode()
    transport.extra = data

    event(outcome(PREPARED["enlarged"](server)))


@settings(max_examples=500, deadline=2000, suppress_health_check=list(HealthCheck))
@given(
    data=mutated(
        {"error": "ValueError", "detail": [{"loc": ["body", "steps"], "msg": "bad"}], "errors": "x", "body": ""}
    ),
    status=st.integers(100, 999),
    elapsed_s=st.sampled_from([0.1, 400.0]),
    dialect=st.sampled_from(["a1111", "drawthings"]),
)
def test_whatever_comes_with_whatever_status_is_one_of_our_errors(
    data: bytes, status: int, elapsed_s: float, dialect: str
) -> None:
    server, transport = connection(dialect)
    transport.status, transport.body, transport.elapsed_s = status, data, elapsed_s

    event(outcome(PREPARED[dialect](server)))


@settings(max_examples=300, deadline=2000, suppress_health_check=list(HealthCheck))
@given(
    data=mutated(
        {
            "progress": 0.5,
            "eta_relative": 1.0,
            "state": {"job": "x", "sampling_step": 3, "job_count": 1},
            "active": True,
        }
    )
)
def test_whatever_is_told_of_progress_is_read_or_one_of_our_errors(data: bytes) -> None:
    server, transport = connection("a1111")
    transport.extra = data

    task_state(server, "x")
    try:
        body = HttpReply(200, {}, data, 0.1).json()
        assert Progress.read(body).is_idle in (True, False)
    except SDClientError as exc:
        event(type(exc).__name__)


@pytest.mark.parametrize("claim", [(30_000, 30_000), (65_535, 65_535), (16_000, 16_000)], ids=str)
def test_an_image_that_claims_to_be_giant_is_refused_before_memory_is_taken(claim: tuple[int, int]) -> None:
    server, transport = connection("a1111")
    transport.body = json.dumps({"images": [bomb(*claim)], "info": ""}).encode()
    raw = execute(PREPARED["a1111"](server))
    Image.init()

    tracemalloc.start()
    with pytest.raises(BadReplyError, match="pixels, more than"):
        finish(raw)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak_bytes < 4 * 1024 * 1024


def test_a_flood_of_images_is_refused_without_decoding_them() -> None:
    server, transport = connection("drawthings")
    transport.body = json.dumps({"images": ["%"] * 100_000}).encode()

    with pytest.raises(BadReplyError, match="100000 images came back, 1 were asked for"):
        finish(execute(PREPARED["drawthings"](server)))


PREPARED: Mapping[str, Callable[[Connection], PreparedGeneration]] = {
    "a1111": lambda server: prepare(server, A1111_REQUEST.replace(controls=[UNIT])),
    "drawthings": lambda server: prepare(server, REQUEST),
    "enlarged": lambda server: prepare(server, REQUEST.replace(enlarge=Enlarge(model="4x", scale=2))),
}
UNIT = ControlNet(model="tile", weight=0.5, image=base64.b64decode(GOOD))
