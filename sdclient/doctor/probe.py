"""``doctor --probe``: draw small, with and without each part of a request, to find what a server ignores in silence."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from pydantic import JsonValue

from sdclient.client import Client, Result, with_seed
from sdclient.dialects.base import Loss
from sdclient.dialects.losses import is_lost
from sdclient.dialects.showing import with_stand_in_prompt
from sdclient.doctor.finding import Finding
from sdclient.errors import PayloadError, SDClientError
from sdclient.schemas import HiresFix, Img2Img, Txt2Img
from sdclient.schemas.payload import load_request
from sdclient.schemas.sets import apply_sets

_SIDE_PX = 256
_FIRST_SIDE_PX = 128
_STEPS = 8
_SEED = 20_260_101


@dataclass(frozen=True, slots=True)
class Variant:
    """A request with one part taken out.

    Attributes:
        part: The part, by its field.
        request: The rest.
    """

    part: str
    request: Txt2Img | Img2Img


def probe_server(url: str, payload: str | None, sets: Sequence[str], *, dialect: str | None = None) -> list[Finding]:
    """Draw a payload small on a server, whole and with each part taken out, and compare the pixels.

    It takes the GPU for two small images, and for one more for each part: refiner, hires fix, LoRAs, controls.

    Args:
        url: The server's address, or its name in ``sdclient.toml``.
        payload: What to draw; None draws a plain image.
        sets: ``field=value`` texts over the payload.
        dialect: The program to take it for; None finds out.
    """
    client = Client(url, dialect=dialect)
    subject = payload or client.url
    try:
        given = _given(payload, sets)
    except PayloadError:
        # What is wrong is told where the payload is looked at.
        return [Finding("note", subject, "not probed, for the payload is wrong", "probe")]
    try:
        request = small_request(given.for_dialect(*client.connection.dialect.overlay_names))
        losses = client.check(request)
        if losses.is_refused:
            # Why is told where the payload is looked at.
            fields = ", ".join(loss.field for loss in losses.items if loss.severity == "error")
            return [Finding("note", subject, f"not probed, for the server would refuse it: {fields}", "probe")]
        whole, again = _draw(client, request), _draw(client, request)
    except SDClientError as exc:
        return [Finding("wrong", subject, f"the small image could not be drawn: {exc}", "probe")]
    findings = [Finding("good", subject, f"drew a small image in {whole.elapsed_s:.1f} s", "probe")]
    findings += [
        # How an image is packed says nothing of what was ignored.
        Finding("note" if change.field == "format" else "wrong", subject, str(change), "probe", asdict(change))
        for change in whole.changed
    ]
    if _pixels(whole) != _pixels(again):
        text = "one seed gives two images here, so it cannot be told by comparing what has an effect"
        return [*findings, Finding("note", subject, text, "probe")]
    parts = [variant for variant in variants(request) if not _is_left_out(variant, losses.items)]
    return findings + [_compared(client, whole, variant, subject) for variant in parts]


def _given(payload: str | None, sets: Sequence[str]) -> Txt2Img | Img2Img:
    if payload is None:
        return Txt2Img(prompt="a red fox", inherit=True)
    return with_stand_in_prompt(apply_sets(load_request(payload), sets))


def _is_left_out(variant: Variant, losses: Sequence[Loss]) -> bool:
    # What is known to be left out is no silence of the server's.
    field = variant.part.partition(" ")[0]
    return is_lost(field, losses) or is_lost(f"{field}.model", losses)


def _compared(client: Client, whole: Result, variant: Variant, subject: str) -> Finding:
    try:
        without = _draw(client, variant.request)
    except SDClientError as exc:
        return Finding("note", subject, f"{variant.part}: without it nothing could be drawn: {exc}", "probe")
    told: dict[str, JsonValue] = {"part": variant.part, "has_effect": True}
    if _pixels(without) != _pixels(whole):
        return Finding("good", subject, f"{variant.part}: has an effect", "probe", told)
    text = (
        f"{variant.part}: changes nothing, this server ignores it in silence; is it installed, does it fit the model?"
    )
    return Finding("wrong", subject, text, "probe", {**told, "has_effect": False})


def small_request(request: Txt2Img | Img2Img) -> Txt2Img | Img2Img:
    """Return a request that keeps what it names and costs next to nothing.

    Args:
        request: The request, overlays merged.
    """
    changes: dict[str, object] = {
        "width": _SIDE_PX,
        "height": _SIDE_PX,
        "steps": min(request.steps or _STEPS, _STEPS),
        "batch_size": 1,
        "n_iter": 1,
        "seed": _SEED,
        # Tiles and upscalers are for large images; a small one goes through in one piece.
        "enlarge": None,
        "tiled": None,
    }
    if isinstance(request, Txt2Img):
        if request.hires is not None:
            hires = request.hires
            changes["hires"] = HiresFix(
                first_width=_FIRST_SIDE_PX,
                first_height=_FIRST_SIDE_PX,
                strength=hires.strength,
                upscaler=hires.upscaler,
            )
        return with_seed(request.replace(**changes))
    return request.replace(**changes, mask=None, init_image=_test_image())


def variants(request: Txt2Img | Img2Img) -> Iterator[Variant]:
    """Give the request with each of its parts taken out in turn."""
    if request.refiner is not None:
        yield Variant("refiner", request.replace(refiner=None))
    if isinstance(request, Txt2Img) and request.hires is not None:
        yield Variant("hires", request.replace(hires=None))
    for number, lora in enumerate(request.loras):
        rest = (*request.loras[:number], *request.loras[number + 1 :])
        yield Variant(f"loras[{number}] ({lora.model})", request.replace(loras=rest))
    for number, unit in enumerate(request.controls):
        others = (*request.controls[:number], *request.controls[number + 1 :])
        yield Variant(f"controls[{number}] ({unit.model})", request.replace(controls=others))


def _draw(client: Client, request: Txt2Img | Img2Img) -> Result:
    if isinstance(request, Txt2Img):
        return client.txt2img(request)
    return client.img2img(_test_image(), request)


def _pixels(result: Result) -> str:
    return result.image.facts.pixels_sha256


def _test_image() -> bytes:
    """Return an image with edges, slopes and colour, for controls to hold on to."""
    from PIL import Image

    size = (_SIDE_PX, _SIDE_PX)
    bands = (Image.radial_gradient("L"), Image.linear_gradient("L"), Image.linear_gradient("L").rotate(90))
    image = Image.merge("RGB", [band.resize(size) for band in bands])
    image.paste((200, 40, 30), (64, 96, 160, 192))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
