"""SD.Next: JPEG replies, empty 204s, a rate limit, other defaults, samplers by any case, and its control route."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from sdclient.simulator.catalogue import Install, strings
from sdclient.simulator.dialect import Call, Refusal, Reply, Setup, json_reply
from sdclient.simulator.facts import (
    Field,
    JsonObject,
    JsonValue,
    a1111_fields,
    array_at,
    load,
    object_at,
    sdnext_fields,
    sdnext_missing,
)
from sdclient.simulator.framework import HttpError, object_body, validated
from sdclient.simulator.generation import Result
from sdclient.simulator.settle import integer, text
from sdclient.simulator.webui import API, Route, WebUI, after, always
from sdclient.simulator.workshop import Workshop

__all__ = ["SdNext"]

_VAE_FACTOR = 8
_BY_CONTEXT = 5
_WINDOW_S = 60.0
_COSTLY = frozenset({f"{API}txt2img", f"{API}img2img", f"{API}control"})
_COST = 5
_LONG_ARGUMENT = 1000
_EMPTY = (
    *("refresh-checkpoints", "refresh-vae", "refresh-unets", "unload-checkpoint", "reload-checkpoint"),
    *("lock-checkpoint", "log", "shutdown", "restart"),
)
_UNUSED_EXTRAS = frozenset({"gfpgan_visibility", "codeformer_visibility", "codeformer_weight", "upscale_first"})
_CONTROL_FIELDS = (
    Field("inputs", "array", default=None),
    Field("inits", "array", default=None),
    Field("control", "array", default=[]),
    Field("unit_type", "string", default="controlnet"),
)


class SdNextInstall(Install):
    """The same files under SD.Next, which has its own samplers and upscalers."""

    def _read_facts(self) -> JsonObject:
        return {**super()._read_facts(), **object_at(load("simulator_others"), "sdnext")}

    def _sampler_names(self, version: str) -> list[str]:  # noqa: ARG002 - one version only
        return strings(array_at(load("others"), "sdnext", "samplers", "names"))

    def choose_sampler(self, name: str, scheduler: str | None) -> tuple[str, str | None]:  # noqa: ARG002 - it has none
        """Match a name in any case, or an alias; fused names are unknown here.

        Raises:
            HttpError: If there is no such sampler.
        """
        aliases = {alias: str(found) for alias, found in object_at(self.facts, "sampler_aliases").items()}
        known = {**aliases, **{sampler.lower(): sampler for sampler in self.samplers}}
        if name.isdigit() and int(name) < len(self.samplers):
            return self.samplers[int(name)], None
        if name.lower() not in known:
            raise HttpError(404, "Sampler not found")
        return known[name.lower()], None

    def list_samplers(self) -> list[JsonValue]:
        """GET samplers, without aliases."""
        return [{"name": name, "options": {}} for name in self.samplers]

    def list_schedulers(self) -> list[JsonValue]:
        """GET schedulers: the samplers again, with rows that only divide them."""
        divider: JsonValue = {"name": str(self.facts["divider"]), "cls": None, "options": {}}
        rows: list[JsonValue] = [{"name": name, "cls": "DiffusionSampler", "options": {}} for name in self.samplers]
        return [*rows[:1], divider, *rows[1:]]

    def list_models(self) -> list[JsonValue]:
        """GET sd-models, with a type."""
        return [{**row, "type": "safetensors"} for row in super().list_models() if isinstance(row, dict)]

    def list_embeddings(self) -> JsonObject:
        """GET embeddings: plain lists."""
        return {"loaded": list[JsonValue](strings(array_at(self.facts, "embeddings"))), "skipped": []}


class SdNext(WebUI):
    """The fork whose API is always on.

    Args:
        setup: `options` are server options; `server_rate_limit` among them is how much may be asked per minute.
        workshop: The one GPU.
    """

    guards_everything = True
    unauthorized = "Unauthorized"

    def __init__(self, setup: Setup, workshop: Workshop) -> None:
        setup.choose_version("sdnext", ("2026-07",))
        self._started_s = time.monotonic()
        self._spent: Counter[tuple[str, int]] = Counter()
        self._spending = threading.Lock()
        super().__init__(setup, workshop, SdNextInstall(setup.models))

    def answer(self, call: Call) -> Reply:
        """Answer one call; what is over the limit was served for nothing."""
        reply = super().answer(call)
        limit = integer(self.current_options()["server_rate_limit"])
        with self._spending:
            # The window is the minute by the clock of this server, so that nothing has to be forgotten.
            key = (call.path, int((call.arrived_s - self._started_s) // _WINDOW_S))
            self._spent[key] += _COST if call.path in _COSTLY else 1
            if self._spent[key] <= limit or limit <= 0:
                return reply
        return self.http_error(429, f"Rate limit exceeded: {limit} per minute")

    def fresh_options(self) -> JsonObject:
        """Add the options that only this program has."""
        return {**super().fresh_options(), **object_at(self.install.facts, "added_options")}

    def own_routes(self) -> Mapping[tuple[str, str], Route]:
        """Add what this program has beside the others."""
        facts, tasks = self.install.facts, self.tasks
        empty = Reply(204, b"")
        routes: dict[tuple[str, str], Route] = {("POST", API + name): after(_nothing, empty) for name in _EMPTY}
        return routes | {
            ("POST", API + "interrupt"): after(tasks.interrupt, empty),
            ("POST", API + "skip"): after(tasks.skip, empty),
            ("POST", API + "refresh-loras"): always(lambda: None),
            ("POST", API + "options"): self._update_options,
            ("POST", API + "control"): self._control,
            ("GET", API + "progress"): self._own_progress,
            ("GET", API + "schedulers"): always(self.install.list_schedulers),
            ("GET", API + "sd-vae"): always(self.install.list_vaes),
            ("GET", API + "control-models"): always(lambda: array_at(facts, "control_models")),
            ("GET", API + "preprocessors"): always(lambda: array_at(facts, "control_processors")),
            ("GET", API + "version"): always(lambda: {"app": "sd.next", "updated": "2026-07-01", "hash": "058a7f0c"}),
            ("GET", API + "status"): always(self._status),
            ("GET", API + "log"): always(list),
            ("GET", API + "history"): always(list),
        }

    def list_scripts(self) -> JsonValue:
        """GET scripts, with those of the control page."""
        scripts = super().list_scripts()
        control: JsonValue = list[JsonValue](strings(array_at(self.install.facts, "control_scripts")))
        return {**scripts, "control": control} if isinstance(scripts, dict) else scripts

    def fields(self, kind: str) -> Sequence[Field]:
        """Give the keys of a generation request."""
        return (*sdnext_fields("img2img"), *_CONTROL_FIELDS) if kind == "control" else sdnext_fields(kind)

    def extras_fields(self, path: str) -> Sequence[Field]:
        """Give the keys of an extras request; the image is required."""
        kept = [field for field in a1111_fields(path) if field.name not in _UNUSED_EXTRAS]
        return [
            Field(field.name, field.kind, required=True)
            if field.name == "image"
            else Field(field.name, "float", default=0.0)
            if field.name == "resize_mode"
            else field
            for field in kept
        ]

    def check(self, values: JsonObject, kind: str) -> JsonObject:
        """Complete what this program has no key for, and let resize_mode 0 keep the size of the init image."""
        absent = {
            field.name: field.default for field in a1111_fields(f"{kind}_request") if field.name in sdnext_missing()
        }
        values = {**absent, **values, "hr_checkpoint_name": None}
        model = values["sd_model_checkpoint"]
        if model:
            overrides = values["override_settings"]
            values["override_settings"] = {
                **(overrides if isinstance(overrides, dict) else {}),
                "sd_model_checkpoint": model,
            }
        values["script_name"] = self._script(text(values["script_name"]).lower(), kind)
        if kind == "img2img":
            values = self._fitted(values)
        for side in ("width", "height"):
            if values[side] is not None:
                values[side] = integer(values[side]) // _VAE_FACTOR * _VAE_FACTOR
        if values.get("enable_hr") is True and not _enlarges(values):
            values |= {"firstphase_width": values["width"], "firstphase_height": values["height"]}
        return values

    def _script(self, asked: str, kind: str) -> JsonValue:
        """Find the script by its title or the part before the colon; an unknown one is logged and left out."""
        selectable = strings(array_at(self.install.facts, "selectable_scripts", kind))
        found = next((name for name in selectable if asked in {name, name.split(":", 1)[0]}), None)
        # The others in the list change nothing that can be seen here.
        return found if found == "sd ultimate upscale" else None

    def _fitted(self, values: JsonObject) -> JsonObject:
        images = _items(values["init_images"])
        if not images:
            raise Refusal(json_reply({"error": "Init image is none"}, 400))
        if integer(values["resize_mode"]) == 0:
            first = self.studio.read(text(images[0]))
            return {**values, "width": first.width, "height": first.height}
        return values

    def check_scripts(self, values: JsonObject, kind: str) -> None:  # noqa: ARG002 - one list for both
        """Refuse always-on scripts that are not installed, ControlNet among them.

        Raises:
            HttpError: If there is one.
        """
        known = object_at(self.install.facts, "always_on_scripts")
        titles = values["alwayson_scripts"]
        for title in titles if isinstance(titles, dict) else ():
            if title.lower() not in known:
                raise HttpError(422, f"Always on script not found: {title}")

    def document(self, values: JsonObject, kind: str, images: list[JsonValue], result: Result) -> JsonObject:
        """Put the reply together; a run that was aborted, or has no model, is an empty success."""
        job = self.workshop.current
        if not self.install.checkpoints or (job is not None and job.interrupted):
            return {"images": [], "parameters": {}, "info": ""}
        known = {field.name for field in self.fields(kind)}
        echoed: JsonObject = {key: _shortened(value) for key, value in values.items() if key in known}
        if kind == "img2img":
            echoed |= {"init_images": None, "mask": None}
        missing = strings(array_at(load("others"), "sdnext", "info_missing"))
        info = {key: value for key, value in result.info.items() if key not in missing}
        info |= {"cfg_end": values["cfg_end"], "detailer": values["detailer_enabled"], "detailer_model": None}
        return {"images": images, "parameters": echoed, "info": json.dumps(info)}

    def http_error(self, status: int, detail: str) -> Reply:
        """Give the five keys that every error of this program has."""
        return json_reply(
            {"error": "HTTPException", "code": status, "detail": detail, "body": "", "errors": ""}, status
        )

    def exception(self, status: int, kind: str, message: str) -> Reply:
        """Give the five keys; a TypeError is a bare string."""
        if kind == "TypeError":
            return json_reply(message, status)
        return json_reply({"error": kind, "code": status, "detail": "", "body": "", "errors": message}, status)

    # --- routes of its own -----------------------------------------------------------------------------------------------------

    def _update_options(self, call: Call) -> Reply:
        changed = self.change_options(object_body(call))
        return json_reply({"updated": [{key: value} for key, value in changed.items()]})

    def _own_progress(self, call: Call) -> Reply:
        answer = self.tasks.progress(call)
        state = answer["state"]
        kept = (
            {key: value for key, value in state.items() if key != "stopping_generation"}
            if isinstance(state, dict)
            else {}
        )
        job = self.workshop.current
        if job is None:
            # It forgets them with the job.
            kept |= {"skipped": False, "interrupted": False}
        progress = round(job.progress, 2) if job else 0.0
        return json_reply({**answer, "id": job.task_id if job else "", "progress": progress, "state": kept})

    def _status(self) -> JsonValue:
        job = self.workshop.current
        return {
            "status": "running" if job else "idle",
            "task": job.kind if job else "",
            "queued": self.workshop.waiting,
            "uptime": round(time.monotonic() - self.workshop.opened_s, 2),
        }

    def _control(self, call: Call) -> Reply:
        """Make an image under control units; the words of the reply differ from txt2img's."""
        values = validated(call, self.fields("control"))
        units = [unit for unit in _items(values["control"]) if isinstance(unit, dict)]
        known = [*strings(array_at(self.install.facts, "control_models")), "None"]
        for unit in units:
            if unit.get("model", "None") not in known:
                raise HttpError(404, f"Control model not found: {unit.get('model')}")
        inputs = _items(values["inits"]) or _items(values["inputs"])
        kind = "img2img" if inputs else "txt2img"
        # What has init images is img2img for everything behind this.
        values.pop("init_images")
        values = {**{field.name: field.default for field in sdnext_fields("txt2img")}, **values}
        if inputs:
            values["init_images"] = inputs[:1]
        reply = self.make(call, self.check({**values, "enable_hr": False}, kind), kind)
        made = json.loads(reply.payload)
        processed = [inputs[0]] if inputs and units else []
        return json_reply(
            {"images": made["images"], "processed": processed, "params": made["parameters"], "info": made["info"]}
        )


def _enlarges(values: JsonObject) -> bool:
    """Tell whether anything is enlarged between the passes of a hires fix; by default, nothing is."""
    mode = integer(values["hr_resize_mode"])
    return mode == _BY_CONTEXT or (mode > 0 and values["hr_upscaler"] != "None")


def _nothing() -> None:
    """Do what these commands do here."""


def _items(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _shortened(value: JsonValue) -> JsonValue:
    """Cut the long arguments of scripts, as the echo does."""
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    long = isinstance(value, str) and len(value) >= _LONG_ARGUMENT
    return f"<str {len(str(value))}>" if long else value
