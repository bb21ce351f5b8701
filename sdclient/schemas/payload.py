"""Payload files: a request as JSON on disk, with overlays for servers where names or values differ.

::

    {
      "kind": "txt2img",                     "txt2img" or "img2img"; may be left out
      "about": "one line for people",        may be left out
      "request": {"steps": 30, …},           fields of Txt2Img or Img2Img
      "drawthings": {"model": "…", "native": {"sharpness": 2}},
      "a1111": {"model": "…"}                overlays: fields of the request, wire keys under "native"
    }

Image fields hold a path relative to the file, or a ``data:`` URL.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeAlias, TypeVar, cast

from pydantic import JsonValue, ValidationError

from sdclient.errors import PayloadError
from sdclient.schemas.base import with_images
from sdclient.schemas.generation import DIALECT_NAMES, Img2Img, Request, Txt2Img
from sdclient.schemas.jsontext import parse_json_object
from sdclient.schemas.problems import problem_lines, suggest

Source: TypeAlias = "str | os.PathLike[str]"
RequestT = TypeVar("RequestT", bound=Request)

KINDS: Mapping[str, type[Txt2Img | Img2Img]] = {"txt2img": Txt2Img, "img2img": Img2Img}
_OWN_KEYS = ("kind", "about", "request")
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class PayloadFile:
    """A payload file as read: known keys only, nothing inside validated yet.

    Attributes:
        where: The file's name for errors.
        kind: What ``kind`` says; None where it is left out.
        about: One line for people; empty where it is left out.
        request: Fields of the request.
        overlays: Fields to change, by dialect.
    """

    where: str
    kind: str | None
    about: str
    request: Mapping[str, JsonValue]
    overlays: Mapping[str, Mapping[str, JsonValue]]


def payload_names() -> tuple[str, ...]:
    """Return the names of the payload files that ship with sdclient, sorted."""
    folder = _shipped_folder()
    return tuple(sorted(item.name.removesuffix(".json") for item in folder.iterdir() if item.name.endswith(".json")))


def load_request(source: Source) -> Txt2Img | Img2Img:
    """Read a payload file as whatever it is: by its ``kind``, or else by the fields it holds.

    Args:
        source: A path, or the name of a payload that ships with sdclient.

    Raises:
        PayloadError: If there is no such payload, or something in it is wrong.
    """
    return _as_it_is(read_payload_file(source))


def parse_request(text: str, where: str) -> Txt2Img | Img2Img:
    """Read the text of a payload file as whatever it is; its paths go from the current folder.

    Args:
        text: The JSON.
        where: What to call it in errors.

    Raises:
        PayloadError: If something in it is wrong.
    """
    return _as_it_is(_parsed(text, where, Path.cwd()))


def _as_it_is(payload: PayloadFile) -> Txt2Img | Img2Img:
    kind = payload.kind
    if kind is None:
        only_img2img = Img2Img.model_fields.keys() - Txt2Img.model_fields.keys()
        named = {name for part in (payload.request, *payload.overlays.values()) for name in part}
        kind = "img2img" if named & only_img2img else "txt2img"
    return _build(Img2Img, payload) if kind == "img2img" else _build(Txt2Img, payload)


def load_as(cls: type[RequestT], source: Source) -> RequestT:
    """Read a payload file as ``cls``; see ``Request.load``.

    Raises:
        PayloadError: If there is no such payload, it is of the other kind, or something in it is wrong.
    """
    payload = read_payload_file(source)
    if payload.kind is not None and payload.kind != cls.kind:
        raise PayloadError(
            f"{payload.where}: this is a payload for {payload.kind}, not for {cls.kind}; "
            f"draw it with `sdclient {payload.kind}`, or in Python load it with {KINDS[payload.kind].__name__}.load"
        )
    return _build(cls, payload)


def read_payload_file(source: Source) -> PayloadFile:
    """Read a payload file without validating what it asks.

    Raises:
        PayloadError: If it cannot be read, is no JSON object, or has keys that are none of a payload file's.
    """
    where, text, folder = _read(source)
    return _parsed(text, where, folder)


def _parsed(text: str, where: str, folder: Path | None) -> PayloadFile:
    values = parse_json_object(text, where)
    unknown = [key for key in values if key not in (*_OWN_KEYS, *DIALECT_NAMES)]
    if unknown:
        raise PayloadError("\n".join(_unknown_key(where, key) for key in unknown))
    kind, about = values.get("kind"), values.get("about", "")
    if kind is not None and kind not in KINDS:
        raise PayloadError(f'{where}: kind: must be "txt2img" or "img2img", not {str(kind)[:60]!r}')
    if not isinstance(about, str):
        raise PayloadError(f"{where}: about: must be one line of text")
    if "request" not in values:
        raise PayloadError(f'{where}: request: missing; the fields of the request go into "request": {{…}}')
    parts = {key: _part(values[key], f"{where}: {key}", folder) for key in values if key not in ("kind", "about")}
    request = parts.pop("request")
    return PayloadFile(where, cast("str | None", kind), about, request, parts)


def check_overlay(cls: type[Request], overlay: Mapping[str, JsonValue], where: str) -> list[str]:
    """Validate an overlay alone: what it says must be right, what it leaves out may come from the request.

    Args:
        cls: The kind of request it belongs to.
        overlay: Its fields.
        where: Where it stands, such as ``bake.json: drawthings``.

    Returns:
        One line for each problem.
    """
    fields = dict(overlay)
    native = fields.pop("native", {})
    lines: list[str] = []
    if not isinstance(native, dict):
        lines.append(f"{where}.native: must be an object of the server's own keys")
    elif any(name in DIALECT_NAMES for name in native):
        lines.append(f"{where}.native: holds the server's own keys directly, without its name around them")
    if "overlays" in fields:
        lines.append(f"{where}.overlays: an overlay has none of its own")
        del fields["overlays"]
    try:
        cls.model_validate(fields)
    except ValidationError as exc:
        lines += problem_lines((e for e in exc.errors() if e["type"] != "missing"), cls, f"{where}.")
    return lines


def payload_text(request: Request, about: str = "") -> str:
    """Return a request with its overlays as the text of a payload file, with one line for people."""
    values = request.model_dump(mode="json", exclude_unset=True, exclude={"overlays"})
    line = {"about": about} if about else {}
    whole = {"kind": request.kind, **line, "request": values, **request.overlays}
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def save_payload(request: Request, path: str | os.PathLike[str]) -> Path:
    """Write a request with its overlays as a payload file, replacing one that is there.

    Images are written into it as ``data:`` URLs, so that the file stands alone.

    Raises:
        StorageError: If the file cannot be written.
    """
    from sdclient.files import write_durable

    target = Path(path)
    write_durable(target, payload_text(request).encode())
    return target


def _build(cls: type[RequestT], payload: PayloadFile) -> RequestT:
    lines: list[str] = []
    values: dict[str, object] = dict(payload.request)
    try:
        cls.model_validate(values)
    except ValidationError as exc:
        lines += problem_lines(exc.errors(), cls, f"{payload.where}: ")
    if "overlays" in values:
        lines.append(f'{payload.where}: overlays: put each beside "request", under its dialect\'s name')
    for name, overlay in payload.overlays.items():
        lines += check_overlay(cls, overlay, f"{payload.where}: {name}")
    if lines:
        raise PayloadError("\n".join(lines))
    if payload.overlays:
        values["overlays"] = payload.overlays
    return cls.from_mapping(values, where=payload.where)


def _part(value: JsonValue, where: str, folder: Path | None) -> Mapping[str, JsonValue]:
    if not isinstance(value, dict):
        raise PayloadError(f"{where}: must be an object of request fields")
    if folder is None:
        return value
    return cast("Mapping[str, JsonValue]", with_images(value, lambda path: str(folder / path)))


def _unknown_key(where: str, key: str) -> str:
    if key in Img2Img.model_fields or key in Txt2Img.model_fields:
        return f'{where}: {key}: a request field; put it into "request": {{…}}'
    hint = suggest(key, [*_OWN_KEYS, *DIALECT_NAMES])
    return f"{where}: {key[:60]}: unknown key{hint}"


def _read(source: Source) -> tuple[str, str, Path | None]:
    """Return the name for errors, the text and the folder of a payload."""
    name = os.fspath(source)
    path = Path(name)
    if isinstance(source, str) and not os.path.isfile(name) and not _is_path(name):  # noqa: PTH113 - never raises
        if name not in payload_names():
            raise PayloadError(_no_such(name))
        return f"{name}.json", (_shipped_folder() / f"{name}.json").read_text(encoding="utf-8"), None
    try:
        return str(path), path.read_bytes().decode("utf-8-sig"), path.parent.absolute()
    except UnicodeDecodeError as exc:
        raise PayloadError(f"{path}: not UTF-8 text (byte {exc.start}); save it as UTF-8") from None
    except OSError as exc:
        if "://" in name:
            problem = "an address, and no payload; give a file or a name here, and a server with --url"
        else:
            problem = f"cannot be read: {exc.strerror or exc}"
        raise PayloadError(f"{name[:_SHOWN_CHARS]}: {problem}; {_known_names()}") from None


def _is_path(name: str) -> bool:
    return name.endswith(".json") or "/" in name or os.sep in name


def _no_such(name: str) -> str:
    close = difflib.get_close_matches(name, payload_names(), n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"payload {name[:60]!r}: no such file and no such name{hint}; {_known_names()}"


def _known_names() -> str:
    return f"known by name: {', '.join(payload_names()) or 'none'}"


def _shipped_folder() -> Path:
    """Return the folder of shipped payloads: inside an installed package, or beside the package in a checkout."""
    package = Path(str(resources.files("sdclient.schemas"))).parent
    installed = package / "_payloads"
    return installed if installed.is_dir() else package.parent / "payloads"
