"""AUTOMATIC1111: its routes, its lenient validation, its errors of several shapes."""

from __future__ import annotations

import base64
import binascii
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from PIL import Image

from sdclient.simulator.catalogue import Install, strings
from sdclient.simulator.checks import Problem
from sdclient.simulator.dialect import Call, Refusal, Reply, Setup, json_reply
from sdclient.simulator.extras import enlarge_as_asked
from sdclient.simulator.facts import JsonObject, JsonValue, a1111_fields, array_at, object_at
from sdclient.simulator.framework import error, invalid, object_body, validated
from sdclient.simulator.generation import generate
from sdclient.simulator.infotext import encode_image, parse_parameters, pasted_fields, read_parameters
from sdclient.simulator.pictures import PictureError, read_picture
from sdclient.simulator.scripts import script_info
from sdclient.simulator.settle import ServerFaultError, settle, text
from sdclient.simulator.workshop import Job, Workshop

__all__ = ["A1111"]

_LARGEST_SEED = 4294967294
_OPEN_PREFIXES = ("/internal/", "/controlnet/", "/sdapi/v1/loras", "/sdapi/v1/refresh-loras")
_API = "/sdapi/v1/"


class A1111:
    """The web UI started with `--api`, version 1.10.

    Args:
        setup: `options` are server options, known ones or new.
        workshop: The one GPU.
    """

    def __init__(self, setup: Setup, workshop: Workshop) -> None:
        self.install = Install(setup.models)
        self._workshop = workshop
        self._auth = setup.auth
        self._lock = threading.Lock()
        self._random = random.Random(setup.seed)
        self._options = dict(object_at(self.install.facts, "options"))
        if self.install.checkpoints:
            self._options["sd_model_checkpoint"] = self.install.checkpoints[0].title
            self._options["sd_checkpoint_hash"] = self.install.checkpoints[0].sha256
        plain: JsonObject = json.loads(json.dumps(dict(setup.options)))
        self._options.update(plain)
        self._routes = self._make_routes()

    def answer(self, call: Call) -> Reply:
        """Answer one call, with the time it took in a header."""
        started = time.perf_counter()
        try:
            reply = self._dispatch(call)
        except Refusal as refusal:
            reply = refusal.reply
        except PictureError as problem:
            reply = error(500, "HTTPException", detail=str(problem))
        except ServerFaultError as fault:
            reply = error(500, fault.kind, message=fault.message)
        return replace(reply, headers={"X-Process-Time": f"{time.perf_counter() - started:.4f}"})

    def _dispatch(self, call: Call) -> Reply:
        handler = self._routes.get((call.method, call.path))
        if handler is None:
            known = any(path == call.path for _, path in self._routes)
            return json_reply({"detail": "Method Not Allowed" if known else "Not Found"}, 405 if known else 404)
        if call.path.startswith(_API) and not call.path.startswith(_OPEN_PREFIXES):
            self._check_auth(call.headers.get("authorization"))
        return handler(call)

    def _check_auth(self, header: str | None) -> None:
        if self._auth is None:
            return
        # The reply is rebuilt without headers on the way out, so there is no WWW-Authenticate in either case.
        if header is None or not header.lower().startswith("basic "):
            raise Refusal(error(401, "HTTPException", detail="Not authenticated"))
        try:
            sent = base64.b64decode(header[6:]).decode("utf-8")
        except (binascii.Error, ValueError):
            sent = ""
        if sent != ":".join(self._auth):
            raise Refusal(error(401, "HTTPException", detail="Incorrect username or password"))

    # --- routes ------------------------------------------------------------------------------------------------------------

    def _make_lists(self) -> dict[str, Callable[[], JsonValue]]:
        """Name the GET routes that only tell something."""
        install, facts = self.install, self.install.facts
        return {
            "samplers": install.list_samplers,
            "schedulers": install.list_schedulers,
            "upscalers": install.list_upscalers,
            "latent-upscale-modes": lambda: [{"name": name} for name in install.latent_modes],
            "sd-models": install.list_models,
            "sd-vae": install.list_vaes,
            "hypernetworks": list,
            "face-restorers": lambda: [
                {"name": n, "cmd_dir": None} for n in strings(array_at(facts, "face_restorers"))
            ],
            "realesrgan-models": lambda: [
                {"name": name, "path": None, "scale": 4} for name in strings(array_at(facts, "realesrgan_models"))
            ],
            "prompt-styles": lambda: array_at(facts, "styles"),
            "embeddings": install.list_embeddings,
            "loras": install.list_loras,
            "scripts": self._list_scripts,
            "script-info": script_info,
            "extensions": install.list_extensions,
            "options": self._current_options,
            "cmd-flags": lambda: {"api": True, "listen": False, "port": None, "nowebui": False, "api_auth": None},
            "memory": _memory,
        }

    def _make_routes(self) -> dict[tuple[str, str], Callable[[Call], Reply]]:
        models = strings(array_at(self.install.facts, "controlnet_models"))
        routes: dict[tuple[str, str], Callable[[Call], Reply]] = {
            ("GET", _API + name): _always(make) for name, make in self._make_lists().items()
        }
        for name in ("refresh-loras", "refresh-embeddings", "refresh-checkpoints", "refresh-vae"):
            routes["POST", _API + name] = _always(lambda: None)
        for name in ("unload-checkpoint", "reload-checkpoint"):
            routes["POST", _API + name] = _always(dict)
        routes |= {
            ("GET", "/"): lambda _: Reply(200, b"<!doctype html><title>Stable Diffusion</title>", "text/html"),
            ("GET", "/openapi.json"): _always(self._openapi),
            ("GET", "/internal/ping"): _always(dict),
            ("GET", "/internal/pending-tasks"): _always(self._pending),
            ("POST", "/internal/progress"): self._task_progress,
            ("GET", "/controlnet/version"): _always(lambda: {"version": 3}),
            ("GET", "/controlnet/settings"): _always(lambda: {"control_net_unit_count": 3}),
            ("GET", "/controlnet/model_list"): _always(lambda: {"model_list": list[JsonValue](models)}),
            ("GET", "/controlnet/module_list"): _always(self._module_list),
            ("POST", _API + "txt2img"): lambda call: self._generate(call, "txt2img"),
            ("POST", _API + "img2img"): lambda call: self._generate(call, "img2img"),
            ("POST", _API + "extra-single-image"): self._extra_single,
            ("POST", _API + "extra-batch-images"): self._extra_batch,
            ("POST", _API + "png-info"): self._png_info,
            ("GET", _API + "progress"): self._progress,
            ("POST", _API + "interrupt"): self._interrupt,
            ("POST", _API + "skip"): self._skip,
            ("POST", _API + "options"): self._set_options,
        }
        return routes

    def _list_scripts(self) -> JsonValue:
        always = list(object_at(self.install.facts, "always_on_scripts"))
        selectable = object_at(self.install.facts, "selectable_scripts")
        return {kind: [*always, *strings(array_at(selectable, kind))] for kind in ("txt2img", "img2img")}

    def _module_list(self) -> JsonValue:
        modules = strings(array_at(self.install.facts, "controlnet_modules"))
        detail: JsonObject = {name: {"model_free": False, "sliders": []} for name in modules}
        return {"module_list": list(modules), "module_detail": detail}

    def _openapi(self) -> JsonValue:
        paths: dict[str, JsonValue] = {}
        for method, path in sorted(self._routes):
            entry = paths.setdefault(path, {})
            if isinstance(entry, dict):
                entry[method.lower()] = {"responses": {"200": {"description": "Successful Response"}}}
        return {"openapi": "3.1.0", "info": {"title": "FastAPI", "version": "0.1.0"}, "paths": paths}

    # --- options -----------------------------------------------------------------------------------------------------------

    def _current_options(self) -> JsonValue:
        with self._lock:
            return dict(self._options)

    def _set_options(self, call: Call) -> Reply:
        changes = object_body(call)
        with self._lock:
            self._refuse_unknown_options(changes)
            name = changes.get("sd_model_checkpoint")
            if name is not None:
                found = self.install.checkpoint(text(name))
                if found is None:
                    raise ServerFaultError("RuntimeError", f"model {name!r} not found")
                changes = {**changes, "sd_model_checkpoint": found.title, "sd_checkpoint_hash": found.sha256}
            self._options.update(changes)
        return json_reply(None)

    def _refuse_unknown_options(self, changes: Mapping[str, JsonValue]) -> None:
        for key in changes:
            if key not in self._options:
                raise ServerFaultError("KeyError", repr(key))

    def _overridden(self, values: JsonObject) -> JsonObject:
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

    # --- generation --------------------------------------------------------------------------------------------------------

    def _generate(self, call: Call, kind: str) -> Reply:
        values = validated(call, a1111_fields(f"{kind}_request"))
        if values["infotext"]:
            # What the request says itself wins over the pasted text.
            said = object_body(call)
            pasted = pasted_fields(text(values["infotext"]))
            values.update({key: value for key, value in pasted.items() if key not in said})
        if kind == "img2img" and values["init_images"] is None:
            raise Refusal(error(404, "HTTPException", detail="Init image not found"))
        self._check_scripts(values, kind)
        task = text(values["force_task_id"]) or f"task({kind}-{id(call):x})"
        with self._workshop.turn(task, f"scripts_{kind}") as job:
            options = self._overridden(values)
            settled = settle(self.install, values, options)
            result = generate(settled, self._workshop, job, self._draw_seed())
            extension = text(options["samples_format"])
            with_text = options["enable_pnginfo"] is True
            images: list[JsonValue] = []
            for index, image in enumerate(result.images if values["send_images"] is True else []):
                info = result.texts[index] if with_text and index < len(result.texts) else None
                images.append(_encoded(image, info, extension))
        return json_reply({"images": images, "parameters": _echo(values, kind), "info": result.info})

    def _check_scripts(self, values: JsonObject, kind: str) -> None:
        selectable = strings(array_at(self.install.facts, "selectable_scripts", kind))
        always = object_at(self.install.facts, "always_on_scripts")
        name = values["script_name"]
        if name and text(name).lower() not in selectable:
            raise Refusal(error(422, "HTTPException", detail=f"Script '{name}' not found"))
        titles = values["alwayson_scripts"]
        for title in titles if isinstance(titles, dict) else ():
            if title.lower() in selectable:
                detail = "Cannot have a selectable script in the always on scripts params"
                raise Refusal(error(422, "HTTPException", detail=detail))
            if title.lower() not in always:
                raise Refusal(error(422, "HTTPException", detail=f"Script '{title}' not found"))

    def _draw_seed(self) -> int:
        with self._lock:
            return self._random.randint(0, _LARGEST_SEED)

    # --- extras ------------------------------------------------------------------------------------------------------------

    def _extra_single(self, call: Call) -> Reply:
        values = _extras_values(call)
        image = read_picture(text(values["image"]))
        with self._workshop.turn(f"extras-{id(call)}", "extras") as job:
            result = self._enlarged(values, [image], job)[0]
        return json_reply({"image": result, "html_info": "<div></div>"})

    def _extra_batch(self, call: Call) -> Reply:
        values = _extras_values(call)
        images = [read_picture(data) for data in _image_list(values["imageList"])]
        with self._workshop.turn(f"extras-{id(call)}", "extras") as job:
            results = self._enlarged(values, images, job)
        return json_reply({"images": list[JsonValue](results), "html_info": "<div></div>"})

    def _enlarged(self, values: JsonObject, images: Sequence[Image.Image], job: Job) -> list[str]:
        job.job_count = len(images)
        results: list[str] = []
        for index, image in enumerate(images):
            job.job_no = index
            self._workshop.expose(job, 1)
            enlarged = enlarge_as_asked(self.install, values, image)
            results.append(_encoded(enlarged, read_parameters(image), "png"))
        return results

    def _png_info(self, call: Call) -> Reply:
        values = validated(call, a1111_fields(call.path))
        found = read_parameters(read_picture(text(values["image"]).strip()))
        items: JsonObject = {"parameters": found} if found else {}
        parameters: JsonObject = {**parse_parameters(found)} if found else {}
        return json_reply({"info": found or "", "items": items, "parameters": parameters})

    # --- progress ----------------------------------------------------------------------------------------------------------

    def _progress(self, call: Call) -> Reply:
        job = self._workshop.current
        state: JsonObject = {
            "skipped": job.skipped if job else False,
            "interrupted": job.interrupted if job else False,
            "stopping_generation": False,
            "job": job.kind if job else "",
            "job_count": job.job_count if job else 0,
            "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.localtime(job.started_at if job else 0)),
            "job_no": job.job_no if job else 0,
            "sampling_step": job.sampling_step if job else 0,
            "sampling_steps": job.sampling_steps if job else 0,
        }
        progress = min(1.0, 0.01 + job.progress) if job else 0.0
        skip = call.query.get("skip_current_image", "false").lower() in {"true", "1", "on", "yes"}
        answer: JsonObject = {
            "progress": progress,
            "eta_relative": job.remaining_s if job else 0.0,
            "state": state,
            "current_image": None if job is None or skip else job.preview,
            "textinfo": None,
        }
        return json_reply(answer)

    def _task_progress(self, call: Call) -> Reply:
        values = validated(call, a1111_fields(call.path))
        task, job = values["id_task"], self._workshop.current
        active = job is not None and job.task_id == task
        queued = task in self._workshop.pending
        answer: JsonObject = {
            "active": active,
            "queued": queued,
            "completed": task in self._workshop.finished,
            "progress": job.progress if job and active else None,
            "eta": job.remaining_s if job and active else None,
            "live_preview": f"data:image/png;base64,{job.preview}" if job and active and job.preview else None,
            "id_live_preview": values["id_live_preview"],
            "textinfo": None if active else "Queued..." if queued else "Waiting...",
        }
        return json_reply(answer)

    def _pending(self) -> JsonValue:
        tasks = self._workshop.pending
        return {"size": len(tasks), "tasks": list[JsonValue](tasks)}

    def _interrupt(self, call: Call) -> Reply:  # noqa: ARG002 - every route is handed its call
        job = self._workshop.current
        if job is not None:
            job.interrupt()
        return json_reply({})

    def _skip(self, call: Call) -> Reply:  # noqa: ARG002 - every route is handed its call
        job = self._workshop.current
        if job is not None:
            job.skip()
        return json_reply(None)


def _always(make: Callable[[], JsonValue]) -> Callable[[Call], Reply]:
    return lambda _: json_reply(make())


def _extras_values(call: Call) -> JsonObject:
    values = validated(call, a1111_fields(call.path))
    if values["resize_mode"] not in {0, 1}:
        raise invalid([Problem("resize_mode", "unexpected value; permitted: 0, 1", "value_error.const")])
    return values


def _image_list(value: JsonValue) -> list[str]:
    found: list[str] = []
    for item in value if isinstance(value, list) else []:
        if not isinstance(item, dict) or not isinstance(item.get("data"), str) or not isinstance(item.get("name"), str):
            raise invalid([Problem("imageList", "field required", "value_error.missing")])
        found.append(text(item["data"]))
    return found


def _encoded(image: Image.Image, info: str | None, extension: str) -> str:
    try:
        data = encode_image(image, info, extension)
    except KeyError as missing:
        raise Refusal(error(500, "HTTPException", detail="Invalid image format")) from missing
    return base64.b64encode(data).decode("ascii")


def _echo(values: JsonObject, kind: str) -> JsonObject:
    """Echo the request; init images only where they were asked back."""
    if kind == "img2img" and values["include_init_images"] is not True:
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
