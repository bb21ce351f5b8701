"""Calls as they would be sent, to be looked at: in order, with images cut short."""

from __future__ import annotations

import base64
import functools
import io
import secrets
from collections.abc import Mapping

from pydantic import JsonValue

from sdclient.dialects.base import TASK_KEY, Compiled, Dialect, ServerFacts, names_tasks
from sdclient.dialects.elsewhere import missing_overlays
from sdclient.dialects.losses import add_losses
from sdclient.schemas.base import CheckedImage
from sdclient.schemas.generation import Img2Img, Txt2Img

__all__ = ["IMAGE_STANDS_HERE", "TASK_STANDS_HERE", "calls_of", "compile_for_show", "shortened", "with_stand_in_prompt"]

IMAGE_STANDS_HERE = "<the image that the call before made>"
"""What stands in a follow-up call where the image in hand goes."""

TASK_STANDS_HERE = "<a name drawn anew for every try>"
"""What stands where a call carries its name."""

_SHOWN_CHARS = 24
_SHORTEST_IMAGE = 100
_DEFAULT_SIDE_PX = 512
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8")


def compile_for_show(request: Txt2Img | Img2Img, dialect: Dialect, facts: ServerFacts) -> Compiled:
    """Compile a request as a client would: overlays merged, a seed drawn, a blank image where one is still to come.

    Raises:
        PayloadError: If the request is not valid for this dialect.
    """
    request = request.for_dialect(*dialect.overlay_names)
    if request.seed is None or request.seed < 0:
        request = request.replace(seed=secrets.randbelow(2**32))
    return add_losses(dialect.compile(_with_image(request), facts), missing_overlays(request, dialect))


def with_stand_in_prompt(request: Txt2Img | Img2Img) -> Txt2Img | Img2Img:
    """Return the request with words where its prompt is still to come: some servers refuse an empty one."""
    return request if request.prompt else request.replace(prompt="a fox")


def calls_of(compiled: Compiled, dialect: Dialect, *, whole: bool = False) -> list[dict[str, JsonValue]]:
    """Return every call as method, path and body, in the order of sending.

    Args:
        compiled: The request in the server's words.
        dialect: The program it is sent to.
        whole: Keep images as they are instead of cutting them short.
    """
    task: dict[str, JsonValue] = {TASK_KEY: TASK_STANDS_HERE} if names_tasks(dialect) else {}
    first = compiled.call
    calls = [_call(first.route.method, first.route.path, {**first.body, **task})]
    for follow_up in compiled.then:
        body = {**follow_up.body, follow_up.image_key: IMAGE_STANDS_HERE}
        calls.append(_call(follow_up.route.method, follow_up.route.path, body))
    return calls if whole else [{**call, "body": shortened(call["body"])} for call in calls]


def shortened(value: JsonValue) -> JsonValue:
    """Return JSON with every image in base64 cut short, and nothing else changed."""
    if isinstance(value, str):
        return f"{value[:_SHOWN_CHARS]}… ({len(value)} characters)" if _is_image(value) else value
    if isinstance(value, list):
        return [shortened(item) for item in value]
    if isinstance(value, dict):
        return {name: shortened(item) for name, item in value.items()}
    return value


def _call(method: str, path: str, body: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {"method": method, "path": path, "body": dict(body)}


def _is_image(text: str) -> bool:
    if len(text) < _SHORTEST_IMAGE:
        return False
    text = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(text[:16], validate=True).startswith(_MAGIC)
    except ValueError:
        return False


def _with_image(request: Txt2Img | Img2Img) -> Txt2Img | Img2Img:
    if isinstance(request, Txt2Img) or request.init_image is not None:
        return request
    size = (request.width or _DEFAULT_SIDE_PX, request.height or _DEFAULT_SIDE_PX)
    return request.replace(init_image=_blank(*size), width=size[0], height=size[1])


@functools.lru_cache(maxsize=2)
def _blank(width: int, height: int) -> CheckedImage:
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (width, height), "white").save(file, "PNG", compress_level=1)
    return CheckedImage(file.getvalue())
