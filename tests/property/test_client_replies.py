"""Replies are untrusted: whatever a server answers becomes a valid result or one of our errors, within bounds."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache

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
from sdclient.transport import HttpReply, parse_server_url
from tests.property.mutations import GOOD, IS_CI, NASTY, SHOWN_CHARS, SIDE_PX, bomb, encode, spoiled
from tests.stand_in import Sent, StandIn, reply

CLASSIC = {"CLIP_stop_at_last_layers": 1, "sd_model_checkpoint": "xl"}
OPTIONS = {
    "a1111": CLASSIC,
    "forge": {**CLASSIC, "forge_preset": "xl"},
    "sdnext": {**CLASSIC, "diffusers_offload_mode": "none"},
    "drawthings": {**drawthings_defaults(), "model": "xl.ckpt"},
}
MIB = 1024 * 1024
WHOLE_ANSWER = {"a result", "BadReplyError"}
REFUSED = {
    "AuthenticationError",
    "BadReplyError",
    "MissingRouteError",
    "OverloadError",
    "RejectedError",
    "ServerBusyError",
    "ServerFaultError",
    "WrongServerError",
}


class MemoryTransport(StandIn):
    """Answers the generation with what it is given, everything else as a server that has nothing."""

    def __init__(self, dialect: str) -> None:
        super().__init__()
        self.dialect = dialect
        self.status = 200
        self.body = b""
        self.extra = b""
        self.elapsed_s = 1.0

    def answer(self, call: Sent) -> HttpReply:
        if call.on_sent is not None:
            call.on_sent()
        if call.name == "options":
            return reply(OPTIONS.get(self.dialect, {"samples_format": "png", "sd_model_checkpoint": "xl"}))
        if call.name == "txt2img":
            return reply(self.body, self.status, self.elapsed_s)
        if call.url.endswith(("/extra-single-image", "/internal/progress")):
            return reply(self.extra)
        return reply({"detail": "Not Found"}, 404)


REQUEST = Txt2Img(prompt="a fox", width=SIDE_PX, height=SIDE_PX, steps=3, seed=7, inherit=True, cfg_scale=5.0)
WHOLE = REQUEST.replace(
    refiner=Refiner(model="ref", switch_at=0.7),
    controls=[ControlNet(model="tile [1]", weight=0.5, image=base64.b64decode(GOOD))],
)
INFO = {
    "seed": 7,
    "all_seeds": [7],
    "steps": 3,
    "cfg_scale": 5.0,
    "sampler_name": "Euler",
    "width": SIDE_PX,
    "height": SIDE_PX,
    "index_of_first_image": 0,
    "infotexts": [f"a fox\nSteps: 3, Seed: 7, Size: {SIDE_PX}x{SIDE_PX}"],
    "sd_model_name": "xl",
    "extra_generation_params": {"ControlNet 0": "Model: tile, Weight: 0.5", "Refiner": "ref", "Refiner switch at": 0.7},
}
TOLD = {"images": [GOOD], "parameters": {}, "info": json.dumps(INFO)}
REPLIES: Mapping[str, object] = {
    "a1111": {**TOLD, "images": [GOOD, GOOD]},
    "forge": {**TOLD, "images": [GOOD, GOOD]},
    "sdnext": TOLD,
    "drawthings": {"images": [GOOD]},
    "sdcpp": TOLD,
    "koboldcpp": {"images": [GOOD], "parameters": {}, "info": "", "animated": False},
}


@cache
def talk(dialect: str, *, enlarged: bool = False) -> tuple[PreparedGeneration, MemoryTransport]:
    """Return a request made ready once, since only the answer to it changes, and what carries that."""
    transport = MemoryTransport(dialect)
    server = Connection(parse_server_url("http://gpu:7860"), transport, dialect)
    request = WHOLE if dialect in ("a1111", "forge") else REQUEST
    return prepare(server, REQUEST.replace(enlarge=Enlarge(model="4x", scale=2)) if enlarged else request), transport


def outcome(prepared: PreparedGeneration) -> str:
    """Finish a generation; say which of our errors it ended in, or check the result through and through."""
    message = ""
    try:
        result = finish(execute(prepared, sleep=lambda _: None))
    except SDClientError as exc:
        message, name = str(exc), type(exc).__name__
    if message:
        assert len(message) < SHOWN_CHARS
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


# A whole generation with its images decoded takes milliseconds; the limit ends what hangs, on the slowest machine.
BOUNDED = settings(deadline=20_000, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 2**48)


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@settings(BOUNDED, max_examples=2000 if IS_CI else 600)
@given(seed=seeds)
def test_whatever_a_program_answers_is_a_valid_result_or_one_of_our_errors(dialect: str, seed: int) -> None:
    prepared, transport = talk(dialect)
    transport.status, transport.elapsed_s, transport.body = 200, 1.0, spoiled(REPLIES[dialect], seed)

    came = outcome(prepared)

    event(came)
    assert came in WHOLE_ANSWER


@settings(BOUNDED, max_examples=2000 if IS_CI else 300)
@given(seed=seeds)
def test_whatever_an_upscaler_answers_is_a_valid_result_or_one_of_our_errors(seed: int) -> None:
    prepared, transport = talk("a1111", enlarged=True)
    transport.body = json.dumps({"images": [GOOD], "info": ""}).encode()
    transport.extra = spoiled({"image": LARGE, "html_info": ""}, seed)

    came = outcome(prepared)

    event(came)
    assert came in WHOLE_ANSWER


LARGE = encode(Image.linear_gradient("L").resize((2 * SIDE_PX, 2 * SIDE_PX)).convert("RGB"))
ERROR = {"error": "ValueError", "detail": [{"loc": ["body", "steps"], "msg": "bad"}], "errors": "x", "body": ""}


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@settings(BOUNDED, max_examples=2000 if IS_CI else 200)
@given(seed=seeds, status=st.integers(100, 999), elapsed_s=st.sampled_from([0.1, 400.0]))
def test_whatever_comes_with_whatever_status_is_one_of_our_errors(
    dialect: str, seed: int, status: int, elapsed_s: float
) -> None:
    prepared, transport = talk(dialect)
    transport.status, transport.elapsed_s, transport.body = status, elapsed_s, spoiled(ERROR, seed)

    came = outcome(prepared)

    event(came)
    assert came in REFUSED


PROGRESS = {
    "progress": 0.5,
    "eta_relative": 1.0,
    "state": {"job": "x", "sampling_step": 3, "job_count": 1},
    "active": True,
}


@settings(BOUNDED, max_examples=2000 if IS_CI else 300)
@given(seed=seeds)
def test_whatever_is_told_of_progress_is_read_or_one_of_our_errors(seed: int) -> None:
    prepared, transport = talk("a1111")
    transport.extra = spoiled(PROGRESS, seed)

    task_state(prepared.connection, "x")
    try:
        body = HttpReply(200, {}, transport.extra, 0.1).json()
        assert Progress.read(body).is_idle in (True, False)
    except SDClientError as exc:
        event(type(exc).__name__)


DEEP = (
    "[" * 200_000,
    '{"images":' * 100_000,
    '{"images": [' + "[" * 100_000,
    '{"images": ["x"], "info": ' + "9" * 10**6,
)


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_nothing_that_is_answered_takes_much_memory(dialect: str) -> None:
    prepared, transport = talk(dialect)
    transport.status, transport.elapsed_s = 200, 1.0
    Image.init()
    bodies = [text.encode() for text in DEEP]
    bodies += [json.dumps({"images": [one], "info": one}).encode("utf-8", "surrogatepass") for one in NASTY]
    bodies += [json.dumps({"images": ["%"] * 100_000}).encode()]

    peaks_mib: dict[bytes, float] = {}
    for body in bodies:
        transport.body = body
        tracemalloc.start()
        outcome(prepared)
        peaks_mib[body[:60]] = (tracemalloc.get_traced_memory()[1] - 20 * len(body)) / MIB
        tracemalloc.stop()

    # Twenty times what came, and a few mebibytes whatever came: an image that claims 900 million pixels is not decoded.
    assert max(peaks_mib.values()) < 8, max(peaks_mib, key=lambda key: peaks_mib[key])


@pytest.mark.parametrize("claim", [(30_000, 30_000), (65_535, 65_535), (16_000, 16_000)], ids=str)
def test_an_image_that_claims_to_be_giant_is_refused_before_memory_is_taken(claim: tuple[int, int]) -> None:
    prepared, transport = talk("a1111")
    transport.status, transport.body = 200, json.dumps({"images": [bomb(*claim)], "info": ""}).encode()
    raw = execute(prepared)
    Image.init()

    tracemalloc.start()
    with pytest.raises(BadReplyError, match="pixels, more than"):
        finish(raw)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak_bytes < 4 * MIB


def test_a_flood_of_images_is_refused_without_decoding_them() -> None:
    prepared, transport = talk("drawthings")
    transport.status, transport.body = 200, json.dumps({"images": ["%"] * 100_000}).encode()

    with pytest.raises(BadReplyError, match="100000 images came back, 1 were asked for"):
        finish(execute(prepared))
