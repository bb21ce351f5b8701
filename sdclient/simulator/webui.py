"""What AUTOMATIC1111 and its relatives share: routes, basic authentication, options, generation, extras."""

from __future__ import annotations

import base64
import binascii
import json
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from PIL import Image

from sdclient.simulator.catalogue import Install, strings
from sdclient.simulator.checks import Problem
from sdclient.simulator.dialect import Call, Refusal, Reply, Setup, json_reply
from sdclient.simulator.extras import enlarge_as_asked
from sdclient.simulator.facts import Field, JsonObject, JsonValue, a1111_fields, array_at, object_at
from sdclient.simulator.framework import HttpError, invalid, object_body, validated
from sdclient.simulator.generation import Result, generate
from sdclient.simulator.infotext import parse_parameters, pasted_fields, read_parameters
from sdclient.simulator.pictures import PictureError
from sdclient.simulator.scripts import script_info
from sdclient.simulator.settle import ServerFaultError, settle, text
from sdclient.simulator.studio import Studio
from sdclient.simulator.tasks import Tasks
from sdclient.simulator.workshop import Job, Workshop

__all__ = ["API", "Route", "WebUI", "after", "always"]

API = "/sdapi/v1/"
Route = Callable[[Call], Reply]
_LARGEST_SEED = 4294967294


class WebUI:
    """A web UI with its API; a dialect overrides what it does in its own way.

    Args:
        setup: `options` are server options, known ones or new.
        workshop: The one GPU.
        install: What is installed.
    """

    # Paths below the API that its authentication leaves open, and whether it guards what is beside the API too.
    open_paths: tuple[str, ...] = ()
    guards_everything = False
    unauthorized = "Incorrect username or password"

    def __init__(self, setup: Setup, workshop: Workshop, install: Install) -> None:
        self.install = install
        self.workshop = workshop
        self.studio = Studio(prerendered=setup.prerendered)
        self.tasks = Tasks(workshop)
        self._auth = setup.auth
        self._lock = threading.Lock()
        self._random = random.Random(setup.seed)
        self._options = self.fresh_options()
        if install.checkpoints:
            self._options["sd_model_checkpoint"] = install.checkpoints[0].title
            self._options["sd_checkpoint_hash"] = install.checkpoints[0].sha256
        plain: JsonObject = json.loads(json.dumps(dict(setup.options)))
        self._options.update(plain)
        self._routes = {**self.shared_routes(), **self.own_routes()}

    # --- what a dialect overrides ------------------------------------------------------------------------------------------

    def fresh_options(self) -> JsonObject:
        """Give the server options of a fresh install."""
        return dict(object_at(self.install.facts, "options"))

    def own_routes(self) -> Mapping[tuple[str, str], Route]:
        """Name the routes that only this program has, or has in its own way."""
        return {}

    def fields(self, kind: str) -> Sequence[Field]:
        """Give the keys of a generation request: `txt2img` or `img2img`."""
        return a1111_fields(f"{kind}_request")

    def extras_fields(self, path: str) -> Sequence[Field]:
        """Give the keys of an extras request."""
        return a1111_fields(path)

    def http_error(self, status: int, detail: str) -> Reply:
        """Give the body of the framework's HTTPException."""
        return json_reply({"detail": detail}, status)

    def exception(self, status: int, kind: str, message: str) -> Reply:
        """Give the body of any other exception."""
        raise NotImplementedError

    def trouble(self, status: int, kind: str, message: str) -> Reply:
        """Give an error body; the framework's own exception has another one than the rest."""
        return self.http_error(status, message) if kind == "HTTPException" else self.exception(status, kind, message)

    def check(self, values: JsonObject, kind: str) -> JsonObject:  # noqa: ARG002 - for those who override it
        """Look at a validated request before it waits for the GPU, and give it back, changed or not."""
        return values

    def document(self, values: JsonObject, kind: str, images: list[JsonValue], result: Result) -> JsonObject:
        """Put the reply to a generation together."""
        return {"images": images, "parameters": _echo(values, kind), "info": json.dumps(result.info)}

    # --- one call ------------------------------------------------------------------------------------------------------------

    def answer(self, call: Call) -> Reply:
        """Answer one call."""
        try:
            return self._dispatch(call)
        except Refusal as refusal:
            return refusal.reply
        except HttpError as problem:
            return self.http_error(problem.status, problem.detail)
        except PictureError as problem:
            return self.http_error(500, str(problem))
        except ServerFaultError as fault:
            return self.trouble(500, fault.kind, fault.message)

    def _dispatch(self, call: Call) -> Reply:
        handler = self._routes.get((call.method, call.path))
        below = call.path.startswith(API) and not call.path.startswith(self.open_paths)
        if self._auth is not None and (self.guards_everything or (below and handler is not None)):
            self._check_auth(self._auth, call.headers.get("authorization"))
        if handler is None:
            known = any(path == call.path for _, path in self._routes)
            return json_reply({"detail": "Method Not Allowed" if known else "Not Found"}, 405 if known else 404)
        return handler(call)

    def _check_auth(self, auth: tuple[str, str], header: str | None) -> None:
        if header is None or not header.lower().startswith("basic "):
            raise HttpError(401, "Not authenticated")
        try:
            sent = base64.b64decode(header[6:]).decode("utf-8")
        except (binascii.Error, ValueError):
            sent = ""
        if sent != ":".join(auth):
            raise HttpError(401, self.unauthorized)

    # --- routes --------------------------------------------------------------------------------------------------------------

    def _make_lists(self) -> dict[str, Callable[[], JsonValue]]:
        """Name the GET routes that only tell something, and are alike everywhere."""
        install, facts = self.install, self.install.facts
        return {
            "samplers": install.list_samplers,
            "upscalers": install.list_upscalers,
            "sd-models": install.list_models,
            "face-restorers": lambda: [
                {"name": n, "cmd_dir": None} for n in strings(array_at(facts, "face_restorers"))
            ],
            "prompt-styles": lambda: array_at(facts, "styles"),
            "embeddings": install.list_embeddings,
            "loras": install.list_loras,
            "scripts": self.list_scripts,
            "script-info": lambda: script_info(install),
            "extensions": install.list_extensions,
            "options": self.current_options,
            "cmd-flags": lambda: {"api": True, "listen": False, "port": None, "nowebui": False, "api_auth": None},
            "memory": _memory,
        }

    def shared_routes(self) -> dict[tuple[str, str], Route]:
        """Name the routes that every web UI has."""
        routes: dict[tuple[str, str], Route] = {
            ("GET", API + name): always(make) for name, make in self._make_lists().items()
        }
        return routes | {
            ("GET", "/"): self._page,
            ("GET", "/openapi.json"): always(self._openapi),
            ("POST", API + "txt2img"): partial(self._generate, kind="txt2img"),
            ("POST", API + "img2img"): partial(self._generate, kind="img2img"),
            ("POST", API + "extra-single-image"): self._extra_single,
            ("POST", API + "extra-batch-images"): self._extra_batch,
            ("POST", API + "png-info"): self._png_info,
            ("GET", API + "progress"): self._progress,
            ("POST", API + "options"): self._set_options,
        }

    def _page(self, call: Call) -> Reply:  # noqa: ARG002 - every route is handed its call
        return Reply(200, b"<!doctype html><title>Stable Diffusion</title>", "text/html")

    def _progress(self, call: Call) -> Reply:
        return json_reply(self.tasks.progress(call))

    def list_scripts(self) -> JsonValue:
        """GET scripts."""
        always_on = list(object_at(self.install.facts, "always_on_scripts"))
        selectable = object_at(self.install.facts, "selectable_scripts")
        return {kind: [*always_on, *strings(array_at(selectable, kind))] for kind in ("txt2img", "img2img")}

    def _openapi(self) -> JsonValue:
        paths: dict[str, JsonValue] = {}
        for method, path in sorted(self._routes):
            entry = paths.setdefault(path, {})
            if isinstance(entry, dict):
                entry[method.lower()] = {"responses": {"200": {"description": "Successful Response"}}}
        return {"openapi": "3.1.0", "info": {"title": "FastAPI", "version": "0.1.0"}, "paths": paths}

    # --- options -------------------------------------------------------------------------------------------------------------

    def current_options(self) -> JsonObject:
        """GET options."""
        with self._lock:
            return dict(self._options)

    def change_options(self, changes: JsonObject) -> JsonObject:
        """Change server options for good, and tell what they are now.

        Raises:
            ServerFaultError: If an option or the model is unknown.
        """
        with self._lock:
            self._refuse_unknown_options(changes)
            name = changes.get("sd_model_checkpoint")
            if name is not None:
                found = self.install.checkpoint(text(name))
                if found is None:
                    raise ServerFaultError("RuntimeError", f"model {name!r} not found")
                changes = {**changes, "sd_model_checkpoint": found.title, "sd_checkpoint_hash": found.sha256}
            self._options.update(changes)
        return changes

    def _set_options(self, call: Call) -> Reply:
        self.change_options(object_body(call))
        return json_reply(None)

    def _refuse_unknown_options(self, changes: Mapping[str, JsonValue]) -> None:
        for key in changes:
            if key not in self._options:
                raise ServerFaultError("KeyError", repr(key))

    def overridden(self, values: JsonObject) -> JsonObject:
        """Give the options in force for one request, and keep them if the request says so."""
        changes = values["override_settings"]
        changes = dict(changes) if isinstance(changes, dict) else {}
        with self._lock:
            self._refuse_unknown_options(changes)
            changes.pop("api_enable_requests", None)  # may not be changed over the API, and says nothing
            name = changes.pop("sd_model_checkpoint", None)
            found = None if name is None else self.install.checkpoint(text(name))
            if found is not None:
                changes |= {"sd_model_checkpoint": found.title, "sd_checkpoint_hash": found.sha256}
            if values["override_settings_restore_afterwards"] is False:
                self._options.update(changes)
            return {**self._options, **changes}

    # --- generation ----------------------------------------------------------------------------------------------------------

    def _generate(self, call: Call, kind: str) -> Reply:
        values = validated(call, self.fields(kind))
        if values.get("infotext"):
            # What the request says itself wins over the pasted text.
            said = object_body(call)
            pasted = pasted_fields(text(values["infotext"]))
            values.update({key: value for key, value in pasted.items() if key in values and key not in said})
        return self.make(call, self.check(values, kind), kind)

    def make(self, call: Call, values: JsonObject, kind: str) -> Reply:
        """Wait for the GPU and make what a checked request asks for."""
        self.check_scripts(values, kind)
        task = text(values["force_task_id"]) or f"task({kind}-{id(call):x})"
        with self.workshop.turn(task, f"scripts_{kind}", call.arrived_s) as job:
            options = self.overridden(values)
            if isinstance(values.get("samples_format"), str):
                # Only SD.Next takes it with the request; elsewhere the key is unknown and never gets here.
                options = {**options, "samples_format": values["samples_format"]}
            settled = settle(self.install, values, options, self.studio)
            result = generate(settled, self.studio, self.workshop, job, self._draw_seed())
            images = self._encoded(result, options) if values["send_images"] is True else []
            return json_reply(self.document(values, kind, images, result))

    def _encoded(self, result: Result, options: JsonObject) -> list[JsonValue]:
        extension, with_text = text(options["samples_format"]), options["enable_pnginfo"] is True
        images: list[JsonValue] = []
        for index, image in enumerate(result.images):
            info = result.texts[index] if with_text and index < len(result.texts) else None
            images.append(self._encode(image, info, extension))
        return images

    def _encode(self, image: Image.Image, info: str | None, extension: str) -> str:
        try:
            return self.studio.encode(image, info, extension)
        except KeyError as missing:
            raise HttpError(500, "Invalid image format") from missing

    def check_scripts(self, values: JsonObject, kind: str) -> None:
        """Refuse scripts that are not installed.

        Raises:
            HttpError: If there is one.
        """
        selectable = strings(array_at(self.install.facts, "selectable_scripts", kind))
        always_on = object_at(self.install.facts, "always_on_scripts")
        name = values["script_name"]
        if name and text(name).lower() not in selectable:
            raise HttpError(422, f"Script '{name}' not found")
        titles = values["alwayson_scripts"]
        for title in titles if isinstance(titles, dict) else ():
            if title.lower() in selectable:
                raise HttpError(422, "Cannot have a selectable script in the always on scripts params")
            if title.lower() not in always_on:
                raise HttpError(422, f"Script '{title}' not found")

    def _draw_seed(self) -> int:
        with self._lock:
            return self._random.randint(0, _LARGEST_SEED)

    # --- extras --------------------------------------------------------------------------------------------------------------

    def _extra_single(self, call: Call) -> Reply:
        values = self._extras_values(call)
        image = self.studio.read(text(values["image"]))
        with self.workshop.turn(f"extras-{id(call)}", "extras", call.arrived_s) as job:
            result = self._enlarged(values, [image], job)[0]
            return json_reply({"image": result, "html_info": "<div></div>"})

    def _extra_batch(self, call: Call) -> Reply:
        values = self._extras_values(call)
        images = [self.studio.read(data) for data in _image_list(values["imageList"])]
        with self.workshop.turn(f"extras-{id(call)}", "extras", call.arrived_s) as job:
            results = self._enlarged(values, images, job)
            return json_reply({"images": list[JsonValue](results), "html_info": "<div></div>"})

    def _extras_values(self, call: Call) -> JsonObject:
        values = validated(call, self.extras_fields(call.path))
        if values["resize_mode"] not in {0, 1}:
            raise invalid([Problem("resize_mode", "unexpected value; permitted: 0, 1", "value_error.const")])
        if values["upscaling_resize"] == 0:
            raise invalid(
                [Problem("upscaling_resize", "ensure this value is greater than 0", "value_error.number.not_gt")]
            )
        return values

    def _enlarged(self, values: JsonObject, images: Sequence[Image.Image], job: Job) -> list[str]:
        job.job_count = len(images)
        results: list[str] = []
        for index, image in enumerate(images):
            job.job_no = index
            self.workshop.expose(job, 1)
            enlarged = enlarge_as_asked(self.install, values, image, self.studio)
            info = None if self.studio.prerendered else read_parameters(image)
            results.append(self._encode(enlarged, info, "png"))
        return results

    def _png_info(self, call: Call) -> Reply:
        values = validated(call, a1111_fields(API + "png-info"))
        found = read_parameters(self.studio.read(text(values["image"]).strip()))
        items: JsonObject = {"parameters": found} if found else {}
        parameters: JsonObject = {**parse_parameters(found)} if found else {}
        return json_reply({"info": found or "", "items": items, "parameters": parameters})


def always(make: Callable[[], JsonValue]) -> Route:
    """Make a route of something that answers every call alike."""
    return lambda _: json_reply(make())


def after(act: Callable[[], None], reply: Reply) -> Route:
    """Make a route that does something and then always answers alike."""

    def route(_: Call) -> Reply:
        act()
        return reply

    return route


def _image_list(value: JsonValue) -> list[str]:
    found: list[str] = []
    for item in value if isinstance(value, list) else []:
        if not isinstance(item, dict) or not isinstance(item.get("data"), str) or not isinstance(item.get("name"), str):
            raise invalid([Problem("imageList", "field required", "value_error.missing")])
        found.append(text(item["data"]))
    return found


def _echo(values: JsonObject, kind: str) -> JsonObject:
    """Echo the request; init images only where they were asked back."""
    if kind == "img2img" and values.get("include_init_images") is not True:
        return {**values, "init_images": None, "mask": None}
    return values


def _memory() -> JsonValue:
    gib = 1024**3
    part: JsonObject = {"current": 2 * gib, "peak": 3 * gib}
    return {
        "ram": {"free": 8 * gib, "used": 8 * gib, "total": 16 * gib},
        "cuda": {
            "system": {"free": 6 * gib, "used": 2 * gib, "total": 8 * gib},
            **dict.fromkeys(("active", "allocated", "reserved", "inactive"), part),
            "events": {"retries": 0, "oom": 0},
        },
    }
