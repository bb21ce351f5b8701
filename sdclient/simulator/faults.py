"""Every fault that can be asked for, and those among them that are wrong answers rather than lost ones."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from PIL import Image

from sdclient.simulator.dialect import Dialect, Reply, json_reply
from sdclient.simulator.facts import JsonObject, JsonValue
from sdclient.simulator.faultplan import Fault
from sdclient.simulator.infotext import encode_image, read_parameters

__all__ = ["DAMAGES", "FAULTS", "INSTEAD", "TRAP_PATH"]

FAULTS: Mapping[str, str] = {
    "reset": "the connection is reset before any answer; nothing is painted",
    "close": "the connection is closed before any answer; nothing is painted",
    "hang": "no answer at all; s = seconds until the connection is closed (a day)",
    "short-body": "half of the body that Content-Length promises, then the end",
    "reset-body": "half of the body, then a reset",
    "cut-chunked": "a chunked body that ends before its last chunk",
    "cut-unsized": "a body without any length that ends half-way: status 200 and half a JSON",
    "drip-header": "one byte at a time from the status line on; s = seconds between bytes (0.3)",
    "drip-body": "headers at once, then one byte at a time; s = seconds between bytes (0.3)",
    "close-idle": "a good answer that promises keep-alive, after which the connection is closed",
    "close-next": "a good answer; the connection is closed as the next request on it arrives",
    "endless-headers": "headers without an end; mb = after how much it ends all the same (1024)",
    "gigabyte": "a reply of a gigabyte; mb = its size (1024)",
    "redirect": "307 to a path of the simulator that must never show in its log",
    "html": "200 with a web page",
    "error-200": "200 with the program's own error body",
    "unauthorized": "401, as if the password had been changed",
    "too-many": "429 with Retry-After; s = its seconds (1)",
    "busy": "503 with Retry-After; s = its seconds (1)",
    "out-of-memory": "500 OutOfMemoryError",
    "late-422": "422 after all the work was done; s = seconds of more work before (0)",
    "no-images": "a good answer whose key for images is missing",
    "empty-images": "a good answer without images",
    "blank-image": 'a good answer whose images are empty strings: [""]',
    "broken-base64": "characters in the image that base64 does not have",
    "truncated-png": "only the first half of the image file, in good base64",
    "wrong-size": "an image half as wide and high as made",
    "black": "an all-black image, as of a model that overflowed",
    "image-count": "one image more than made",
    "nan": "NaN where a number belongs, which is no JSON",
    "deep": "a value nested a hundred thousand times",
    "restart": "all connections drop, the queue is forgotten; s = seconds until it answers again (1)",
    "leak": "a good answer, but memory stays taken; mb = per request (64); at 8 times that much it restarts, s as there",
}
"""What each fault does, and what its settings s and mb mean (with their usual values)."""

# Where the redirect leads.
TRAP_PATH = "/__simulator__/elsewhere"
_NESTING = 100_000
_MISSING_MEMORY = "CUDA out of memory. Tried to allocate 20.00 GiB"


# --- answers given at once, without asking the dialect to make anything -----------------------------------------------------


def _stub(dialect: Dialect, fault: Fault) -> Reply:  # noqa: ARG001 - all are called alike
    """Give something for deliveries that never send it whole."""
    return Reply(200, b"{}")


def _redirect(dialect: Dialect, fault: Fault) -> Reply:  # noqa: ARG001 - all are called alike
    return Reply(307, b"", "text/plain", {"Location": TRAP_PATH})


def _html(dialect: Dialect, fault: Fault) -> Reply:  # noqa: ARG001 - all are called alike
    page = b"<!doctype html><title>Welcome</title><p>Please accept the terms of this network."
    return Reply(200, page, "text/html; charset=utf-8")


def _error_200(dialect: Dialect, fault: Fault) -> Reply:  # noqa: ARG001 - all are called alike
    return replace(dialect.trouble(500, "RuntimeError", "the simulated model has crashed"), status=200)


def _unauthorized(dialect: Dialect, fault: Fault) -> Reply:  # noqa: ARG001 - all are called alike
    return dialect.trouble(401, "HTTPException", "Not authenticated")


def _later(status: int, message: str) -> Callable[[Dialect, Fault], Reply]:
    def instead(dialect: Dialect, fault: Fault) -> Reply:
        seconds = 1.0 if fault.seconds is None else fault.seconds
        return replace(
            dialect.trouble(status, "HTTPException", message), headers={"Retry-After": f"{max(0, round(seconds))}"}
        )

    return instead


def _out_of_memory(dialect: Dialect, fault: Fault) -> Reply:  # noqa: ARG001 - all are called alike
    return dialect.trouble(500, "OutOfMemoryError", _MISSING_MEMORY)


INSTEAD: Mapping[str, Callable[[Dialect, Fault], Reply]] = {
    **dict.fromkeys(("reset", "close", "hang", "restart", "endless-headers", "gigabyte"), _stub),
    "redirect": _redirect,
    "html": _html,
    "error-200": _error_200,
    "unauthorized": _unauthorized,
    "too-many": _later(429, "Too many requests"),
    "busy": _later(503, "Server is busy"),
    "out-of-memory": _out_of_memory,
}


# --- good answers, damaged ----------------------------------------------------------------------------------------------------


def _late_422(reply: Reply, dialect: Dialect, fault: Fault) -> Reply:  # noqa: ARG001 - all are called alike
    time.sleep(fault.seconds or 0.0)
    return dialect.trouble(422, "HTTPException", "Generation failed")


def _images_damage(change: Callable[[JsonObject], None]) -> Callable[[Reply, Dialect, Fault], Reply]:
    """Make a damage of a change to the decoded reply; replies without images pass as they are."""

    def damage(reply: Reply, dialect: Dialect, fault: Fault) -> Reply:  # noqa: ARG001 - all are called alike
        document = _document(reply)
        if document is None:
            return reply
        change(document)
        return replace(json_reply(document), headers=reply.headers)

    return damage


def _document(reply: Reply) -> JsonObject | None:
    """Decode a reply that has images, else give None."""
    if reply.status != 200 or not reply.payload.startswith(b"{"):  # noqa: PLR2004 - what a good answer has
        return None
    document: JsonValue = json.loads(reply.payload)
    return document if isinstance(document, dict) and ("images" in document or "image" in document) else None


def _each(change: Callable[[str], str]) -> Callable[[JsonObject], None]:
    """Change every image of a reply, under either key."""

    def changed(document: JsonObject) -> None:
        images = document.get("images")
        if isinstance(images, list):
            document["images"] = [change(str(item)) for item in images]
        if isinstance(document.get("image"), str):
            document["image"] = change(str(document["image"]))

    return changed


def _no_images(document: JsonObject) -> None:
    document.pop("images", None)
    document.pop("image", None)


def _empty_images(document: JsonObject) -> None:
    key = "images" if "images" in document else "image"
    document[key] = [] if key == "images" else ""


def _one_more(document: JsonObject) -> None:
    images = document.get("images")
    if isinstance(images, list):
        document["images"] = [*images, *images[-1:]]


def _broken(text: str) -> str:
    middle = len(text) // 2
    return f"{text[:middle]}*!{text[middle + 2 :]}"


def _truncated(text: str) -> str:
    data = base64.b64decode(text)
    return base64.b64encode(data[: len(data) // 2]).decode("ascii")


def _redrawn(change: Callable[[Image.Image], Image.Image]) -> Callable[[str], str]:
    """Decode an image, change it, and encode it in the same format with the same text."""

    def redrawn(text: str) -> str:
        if not text:
            return text
        image = Image.open(io.BytesIO(base64.b64decode(text)))
        extension = (image.format or "PNG").lower()
        return base64.b64encode(encode_image(change(image), read_parameters(image), extension)).decode("ascii")

    return redrawn


def _halved(image: Image.Image) -> Image.Image:
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)))


def _black(image: Image.Image) -> Image.Image:
    return Image.new("RGB", image.size)


def _with_member(member: bytes) -> Callable[[Reply, Dialect, Fault], Reply]:
    """Make a damage that puts one more member into the JSON, which its text need not survive."""

    def damage(reply: Reply, dialect: Dialect, fault: Fault) -> Reply:  # noqa: ARG001 - all are called alike
        return reply if _document(reply) is None else replace(reply, payload=reply.payload[:-1] + b", " + member + b"}")

    return damage


DAMAGES: Mapping[str, Callable[[Reply, Dialect, Fault], Reply]] = {
    "late-422": _late_422,
    "no-images": _images_damage(_no_images),
    "empty-images": _images_damage(_empty_images),
    "blank-image": _images_damage(_each(lambda _: "")),
    "broken-base64": _images_damage(_each(_broken)),
    "truncated-png": _images_damage(_each(_truncated)),
    "wrong-size": _images_damage(_each(_redrawn(_halved))),
    "black": _images_damage(_each(_redrawn(_black))),
    "image-count": _images_damage(_one_more),
    "nan": _with_member(b'"eta_relative": NaN'),
    "deep": _with_member(b'"deep": ' + b"[" * _NESTING + b"]" * _NESTING),
}
