"""Lists are untrusted, too: models, samplers, options, scripts and progress, spoiled, do no harm to anything built on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from sdclient.client import Client
from sdclient.dialects import DIALECTS
from sdclient.dialects.facts import drawthings_defaults
from sdclient.errors import SDClientError
from sdclient.schemas import ControlNet, Enlarge, Lora, Txt2Img
from sdclient.transport import CallLimits, CancelToken, HttpReply
from tests.property.mutations import IS_CI, SHOWN_CHARS, spoiled

CLASSIC = {"CLIP_stop_at_last_layers": 1, "sd_model_checkpoint": "xl", "control_net_unit_count": 3, "ad_max_models": 2}
SMALL = {"samples_format": "png", "sd_model_checkpoint": "xl"}
OPTIONS: Mapping[str, object] = {
    "a1111": CLASSIC,
    "forge": {**CLASSIC, "forge_preset": "xl"},
    "sdnext": {**CLASSIC, "diffusers_offload_mode": "none"},
    "drawthings": {**drawthings_defaults(), "model": "xl.ckpt"},
    "sdcpp": SMALL,
    "koboldcpp": SMALL,
}
LISTS: Mapping[str, object] = {
    "sd-models": [{"title": "xl.safetensors [1]", "model_name": "xl", "hash": "1", "filename": "/m/xl.safetensors"}],
    "sd-vae": [{"model_name": "v", "filename": "/v"}],
    "sd-modules": [{"model_name": "v", "filename": "/v"}],
    "samplers": [{"name": "Euler a", "aliases": ["k_euler_a"], "options": {}}],
    "schedulers": [{"name": "karras", "label": "Karras", "aliases": None}],
    "upscalers": [{"name": "None", "scale": 4}, {"name": "4x", "model_name": "4x", "scale": 4.0}],
    "latent-upscale-modes": [{"name": "Latent"}],
    "loras": [{"name": "detail", "alias": "detail", "path": "/l/detail.safetensors"}],
    "scripts": {"txt2img": ["ControlNet", "x"], "img2img": ["SD upscale"]},
    "script-info": [{"name": "controlnet", "is_alwayson": True, "args": [{"label": "a", "value": None}]}],
    "memory": {"ram": {"free": 1}, "cuda": {}},
    "progress": {"progress": 0.5, "eta_relative": 1.0, "state": {"job": "x", "sampling_step": 3, "job_count": 1}},
    "model_list": {"model_list": ["tile [1]"]},
    "module_list": {"module_list": ["none"], "module_detail": {}},
    "version": {"updated": "2026-07-01", "hash": "abc", "result": "KoboldCpp", "version": "1.102"},
    "capabilities": {"version": "x"},
}
REQUEST = Txt2Img(
    prompt="a fox",
    width=128,
    height=128,
    seed=7,
    model="xl",
    vae="v",
    sampler_name="Euler a",
    scheduler="Karras",
    loras=[Lora(model="detail")],
    controls=[ControlNet(model="tile")],
    enlarge=Enlarge(model="4x"),
)
ASKED: tuple[Callable[[Client], object], ...] = (
    Client.models, Client.vaes, Client.samplers, Client.schedulers, Client.upscalers, Client.latent_upscale_modes,
    Client.loras, Client.scripts, Client.script_info, Client.memory, Client.controlnet_models, Client.progress,
    Client.options, lambda client: client.check(REQUEST), lambda client: client.facts,
)  # fmt: skip


class SpoiledLists:
    """Answers every question as a server of a kind does, one answer of them spoiled."""

    def __init__(self, dialect: str, spoiled_list: str, seed: int) -> None:
        good = {**LISTS, "options": OPTIONS[dialect]}
        self._answers = {name: json.dumps(body).encode() for name, body in good.items()}
        self._answers[spoiled_list] = spoiled(good[spoiled_list], seed)

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
        del method, body, headers, limits, cancel, on_sent
        answer = self._answers.get(url.rsplit("/", 1)[-1])
        return HttpReply(404, {}, b"{}", 0.1) if answer is None else HttpReply(200, {}, answer, 0.1)


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@settings(deadline=20_000, max_examples=2000 if IS_CI else 300, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**48),
    name=st.sampled_from(sorted([*LISTS, "options"])),
    ask=st.sampled_from(range(len(ASKED))),
    told=st.sampled_from(["named", "found out"]),
)
def test_whatever_a_list_holds_is_read_or_one_of_our_errors(
    dialect: str, seed: int, name: str, ask: int, told: str
) -> None:
    transport = SpoiledLists(dialect, name, seed)
    client = Client("http://gpu:7860", transport=transport, dialect=dialect if told == "named" else None)

    try:
        text = repr(ASKED[ask](client))
    except SDClientError as exc:
        text = f"{type(exc).__name__}: {exc}"
        event(type(exc).__name__)
        is_short = len(text) < SHOWN_CHARS
    else:
        is_short = True
        event("an answer")

    assert text.encode("utf-8", "replace")
    assert is_short
