"""What can be found out about a server, and about a payload on it, without drawing anything."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sdclient.client import Client
from sdclient.dialects.a1111_names import model_stem, model_titles, without_hash
from sdclient.dialects.base import Loss
from sdclient.dialects.facts import close_names, few_names
from sdclient.dialects.losses import is_lost
from sdclient.dialects.showing import with_stand_in_prompt
from sdclient.doctor.finding import Finding
from sdclient.errors import MissingRouteError, NotSentError, SDClientError, TransportError, WrongServerError
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.payload import load_request
from sdclient.schemas.sets import apply_sets

USUAL_PORTS = (7860, 7861, 1234, 5001)
"""Where these servers listen unless told otherwise."""
_SHOWN_MODELS = 8
_MACOS = "darwin"


def look_around(payload: str | None, sets: Sequence[str], *, ports: Sequence[int] = USUAL_PORTS) -> list[Finding]:
    """Look for servers on this machine.

    Args:
        payload: A payload to check on every server that is found; None checks none.
        sets: ``field=value`` texts over the payload.
        ports: Where to look.
    """
    findings: list[Finding] = []
    for port in ports:
        found = look_at_server(f"http://127.0.0.1:{port}", payload, sets)
        findings += [] if found[0].level == "no server" else found
    if findings:
        return findings
    names = ", ".join(map(str, ports))
    return [
        Finding(
            "no server",
            "this machine",
            f"nothing answers at the usual ports ({names}). Start your server with its API on, give its address, "
            "or try things with: sdclient simulate",
        )
    ]


def look_at_server(
    url: str, payload: str | None, sets: Sequence[str], *, platform: str = sys.platform
) -> list[Finding]:
    """Look at one server, and at what it makes of a payload.

    Args:
        url: Its address, or its name in ``sdclient.toml``.
        payload: A payload to check there; None checks none.
        sets: ``field=value`` texts over the payload.
        platform: The system this runs on, for its hints.

    Raises:
        ConfigurationError: If the address is none.
    """
    client = Client(url)
    try:
        title, facts = client.title, client.facts
    except (TransportError, WrongServerError) as exc:
        return [Finding("no server", client.url, str(exc) + _network_hint(client, exc, platform))]
    except SDClientError as exc:
        return [Finding("wrong", client.url, str(exc))]
    version = f"version {facts.version}" if facts.version else "its API does not say which version"
    findings = [Finding("good", client.url, f"{title} answers; {version}")]
    if not client.address.is_loopback and client.address.credentials is None:
        findings.append(Finding("note", client.url, "it answers without a password to everyone on this network"))
    findings += _what_it_does(client)
    findings.append(_models(client))
    if payload is not None:
        findings += _look_at_payload(client, payload, sets)
    return findings


def _network_hint(client: Client, exc: SDClientError, platform: str) -> str:
    if platform == _MACOS and isinstance(exc, NotSentError) and not client.address.is_loopback:
        return "; macOS may be in the way: System Settings, Privacy & Security, Local Network, allow your terminal"
    return ""


def _what_it_does(client: Client) -> list[Finding]:
    try:
        progress = client.progress()
    except SDClientError as exc:
        unknown = "it does not tell what it is drawing, nor how far it is"
        return [Finding("note", client.url, unknown)] if isinstance(exc, MissingRouteError) else []
    if progress.is_idle:
        return []
    done = "" if progress.fraction is None else f", {progress.fraction:.0%} done"
    return [Finding("note", client.url, f"it is drawing for somebody right now{done}; your images will wait")]


def _models(client: Client) -> Finding:
    if client.facts.models is None:
        shown = (client.facts.options or {}).get("model")
        return Finding(
            "note", client.url, f"its models cannot be listed over the API; its window shows {shown or 'none'}"
        )
    titles = [without_hash(model.title or model.model_name or "") for model in client.models()]
    named = few_names(list(filter(None, titles)), _SHOWN_MODELS)
    if not named:
        return Finding("wrong", client.url, "no models are installed; put one into its models folder")
    count = "1 model" if len(titles) == 1 else f"{len(titles)} models"
    return Finding("good", client.url, f"{count}: {named}")


def _look_at_payload(client: Client, payload: str, sets: Sequence[str]) -> list[Finding]:
    try:
        request = with_stand_in_prompt(apply_sets(load_request(payload), sets))
        losses = client.check(request)
        merged = request.for_dialect(*client.connection.dialect.overlay_names)
        findings = [
            Finding(
                "wrong" if loss.severity == "error" else "note", payload, f"{loss.field}: {loss.kind}: {loss.message}"
            )
            for loss in losses.items
        ]
        findings += _look_at_names(client, merged, payload, losses.items)
    except SDClientError as exc:
        return [Finding("wrong", payload, line) for line in str(exc).splitlines()]
    if not losses:
        findings.append(Finding("good", payload, f"{client.title} does everything as asked"))
    return findings


@dataclass(frozen=True, slots=True)
class _Named:
    """A file that a request names, and what is installed of its kind; None where that cannot be known."""

    field: str
    name: str
    known: tuple[str, ...] | None

    @property
    def is_there(self) -> bool:
        """Whether a file of that name is installed, under any of its spellings."""
        stem = model_stem(self.name)
        return any(stem == model_stem(name) or stem in name.casefold() for name in self.known or ())


def _look_at_names(client: Client, request: Txt2Img | Img2Img, payload: str, losses: Sequence[Loss]) -> list[Finding]:
    """Say of every file that the request names whether it is installed; those with a loss are told already."""
    told = {loss.field for loss in losses}
    named = [one for one in _names(client, request) if one.field not in told and not is_lost(one.field, losses)]
    there = [one for one in named if one.is_there]
    unknown = [one for one in named if one.known is None]
    findings = [
        Finding(
            "wrong",
            payload,
            f"{one.field}: {one.name} is not installed{close_names(one.name, model_titles(one.known or ()))}",
        )
        for one in named
        if not one.is_there and one.known is not None
    ]
    if there:
        findings.append(Finding("good", payload, f"installed on this server: {_listed(there)}"))
    if unknown:
        text = f"whether these are installed cannot be known here, the first image will tell: {_listed(unknown)}"
        findings.append(Finding("note", payload, text))
    return findings


def _listed(named: Sequence[_Named]) -> str:
    return ", ".join(f"{one.name} ({one.field})" for one in named)


def _names(client: Client, request: Txt2Img | Img2Img) -> Iterator[_Named]:
    facts, connection = client.facts, client.connection
    if request.model is not None:
        yield _Named("model", request.model, facts.models)
    if request.vae is not None:
        yield _Named("vae", request.vae, connection.names("vaes", "model_name"))
    if request.refiner is not None:
        yield _Named("refiner.model", request.refiner.model, facts.models)
    if isinstance(request, Txt2Img) and request.hires is not None and request.hires.upscaler is not None:
        modes = connection.names("latent_upscale_modes", "name") or ()
        known = None if facts.upscalers is None else facts.upscalers + modes
        yield _Named("hires.upscaler", request.hires.upscaler, known)
    if request.enlarge is not None:
        yield _Named("enlarge.model", request.enlarge.model, facts.upscalers)
    for number, lora in enumerate(request.loras):
        yield _Named(f"loras[{number}].model", lora.model, connection.names("loras", "name", "alias"))
    for number, unit in enumerate(request.controls):
        yield _Named(f"controls[{number}].model", unit.model, facts.controlnet_models)
