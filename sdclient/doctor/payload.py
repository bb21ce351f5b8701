"""What a server makes of a payload: what gets lost, and whether the files it names are installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from sdclient.client import Client
from sdclient.client.installed import vae_names
from sdclient.dialects.a1111_names import model_stem, model_titles
from sdclient.dialects.base import Loss
from sdclient.dialects.facts import close_names
from sdclient.dialects.losses import is_lost
from sdclient.dialects.showing import with_stand_in_prompt
from sdclient.doctor.finding import Finding, Level
from sdclient.errors import SDClientError
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.payload import load_request
from sdclient.schemas.sets import apply_sets

# A server that lists no files still refuses a request for want of these; others it passes over without a word.
_REFUSED_IF_MISSING: Mapping[str, tuple[str, ...]] = {"drawthings": ("model", "loras", "enlarge")}


def look_at_payload(client: Client, payload: str, sets: Sequence[str]) -> list[Finding]:
    """Say what would become of a payload on a server that answers.

    Args:
        client: The server.
        payload: A payload file, or the name of one that comes along.
        sets: ``field=value`` texts over it.
    """
    try:
        request = with_stand_in_prompt(apply_sets(load_request(payload), sets))
        losses = client.check(request).items
        merged = request.for_dialect(*client.connection.dialect.overlay_names)
        findings = [_loss(payload, loss) for loss in losses]
        findings += look_at_names(client, merged, payload, losses)
    except SDClientError as exc:
        return [Finding("wrong", payload, line.strip(), "payload") for line in str(exc).splitlines()]
    return [*findings, *_verdict(client, payload, findings)]


def _loss(payload: str, loss: Loss) -> Finding:
    level: Level = "wrong" if loss.severity == "error" else "note"
    return Finding(level, payload, f"{loss.field}: {loss.kind}: {loss.message}", "loss", asdict(loss))


def _verdict(client: Client, payload: str, findings: Sequence[Finding]) -> Iterator[Finding]:
    if any(one.level == "wrong" for one in findings):
        return
    if any(one.topic == "loss" for one in findings):
        yield Finding("good", payload, f"{client.title} draws it, but for what is said above", "payload")
    else:
        is_unsure = any((one.level, one.topic) == ("note", "installed") for one in findings)
        as_far = ", as far as can be known here" if is_unsure else ""
        yield Finding("good", payload, f"{client.title} does everything as asked{as_far}", "payload")


@dataclass(frozen=True, slots=True)
class _Named:
    """A file that a request names, and what is installed of its kind; None where that cannot be known."""

    field: str
    name: str
    known: tuple[str, ...] | None

    @property
    def is_there(self) -> bool:
        """Whether a file of exactly that name, title or hash is installed; letter case and endings do not count."""
        stem, whole = model_stem(self.name), self.name.casefold()
        return any(whole == name.casefold() or stem == model_stem(name) for name in self.known or ())

    @property
    def held_by(self) -> str | None:
        """The shortest title that holds the name as a part, which some servers take for it; None if none does."""
        titles = model_titles(self.known or ())
        holding = [title for title in titles if model_stem(self.name) in title.casefold()]
        return min(holding, key=len, default=None)


def look_at_names(client: Client, request: Txt2Img | Img2Img, payload: str, losses: Sequence[Loss]) -> list[Finding]:
    """Say of every file that a request names whether it is installed; those with a loss are told already.

    Args:
        client: The server.
        request: The request, overlays merged.
        payload: What the findings are about.
        losses: What is told already.
    """
    told = {loss.field for loss in losses}
    named = [one for one in _names(client, request) if one.field not in told and not is_lost(one.field, losses)]
    there = [one for one in named if one.is_there]
    unknown = [one for one in named if one.known is None]
    findings = [_missing(payload, one) for one in named if not one.is_there and one.known is not None]
    if there:
        text = f"installed on this server: {_listed(there)}"
        findings.append(Finding("good", payload, text, "installed", {one.field: one.name for one in there}))
    refusing = _REFUSED_IF_MISSING.get(client.dialect, ())
    told_later = [one for one in unknown if one.field.startswith(refusing)] if refusing else []
    silent = [one for one in unknown if one not in told_later]
    for names, when in (
        (told_later, "the first image will tell"),
        (silent, "and it may draw without one it lacks and not say so; --probe finds out"),
    ):
        if names:
            text = f"whether these are installed cannot be known here, {when}: {_listed(names)}"
            findings.append(Finding("note", payload, text, "installed", {one.field: one.name for one in names}))
    return findings


def _missing(payload: str, one: _Named) -> Finding:
    held_by = one.held_by
    if held_by is not None:
        # The dialect let it pass, so this server finds files by a part of their names.
        text = f"{one.field}: none is called {one.name}; the server would take {held_by}, write that to be sure"
        return Finding("note", payload, text, "installed", {one.field: one.name, "taken": held_by})
    close = close_names(one.name, model_titles(one.known or ()))
    text = f"{one.field}: {one.name} is not installed{close}"
    return Finding("wrong", payload, text, "installed", {one.field: one.name})


def _listed(named: Sequence[_Named]) -> str:
    return ", ".join(f"{one.name} ({one.field})" for one in named)


def _names(client: Client, request: Txt2Img | Img2Img) -> Iterator[_Named]:
    facts, connection = client.facts, client.connection
    if request.model is not None:
        yield _Named("model", request.model, facts.models)
    if request.vae is not None:
        yield _Named("vae", request.vae, vae_names(connection))
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
