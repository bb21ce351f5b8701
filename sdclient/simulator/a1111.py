"""AUTOMATIC1111, versions 1.8 to 1.10: lenient validation, errors of four keys, ControlNet as an extension."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sdclient.simulator.catalogue import Install, strings
from sdclient.simulator.controlroutes import control_routes
from sdclient.simulator.dialect import Call, Reply, Setup, json_reply
from sdclient.simulator.facts import Field, JsonObject, JsonValue, a1111_fields, array_at
from sdclient.simulator.framework import HttpError
from sdclient.simulator.webui import API, Route, WebUI, after, always
from sdclient.simulator.workshop import Workshop

__all__ = ["A1111", "Classic"]

_SINCE_1_9 = frozenset({"scheduler", "hr_scheduler"})


class Classic(WebUI):
    """What AUTOMATIC1111 and Forge have in common, and SD.Next has not."""

    open_paths = (f"{API}loras", f"{API}refresh-loras")

    def own_routes(self) -> Mapping[tuple[str, str], Route]:
        """Add the lists and commands of the original."""
        install, facts, tasks = self.install, self.install.facts, self.tasks
        routes: dict[tuple[str, str], Route] = {
            ("GET", API + "schedulers"): always(install.list_schedulers),
            ("GET", API + "latent-upscale-modes"): always(lambda: [{"name": name} for name in install.latent_modes]),
            ("GET", API + "hypernetworks"): always(list),
            ("GET", API + "realesrgan-models"): always(
                lambda: [{"name": n, "path": None, "scale": 4} for n in strings(array_at(facts, "realesrgan_models"))]
            ),
            ("GET", "/internal/ping"): always(dict),
            ("GET", "/internal/pending-tasks"): always(tasks.pending),
            ("POST", "/internal/progress"): tasks.of_one,
            ("POST", API + "interrupt"): after(tasks.interrupt, json_reply({})),
            ("POST", API + "skip"): after(tasks.skip, json_reply(None)),
        }
        for name in ("refresh-loras", "refresh-embeddings", "refresh-checkpoints", "refresh-vae"):
            routes["POST", API + name] = always(lambda: None)
        for name in ("unload-checkpoint", "reload-checkpoint"):
            routes["POST", API + name] = always(dict)
        return routes

    def check(self, values: JsonObject, kind: str) -> JsonObject:
        """Refuse img2img without an image."""
        if kind == "img2img" and values["init_images"] is None:
            raise HttpError(404, "Init image not found")
        return values


class A1111(Classic):
    """The web UI started with `--api`.

    Args:
        setup: `options` are server options, known ones or new; `version` is `1.8`, `1.9` or `1.10`.
        workshop: The one GPU.
    """

    def __init__(self, setup: Setup, workshop: Workshop) -> None:
        self.version = setup.choose_version("a1111", ("1.8", "1.9", "1.10"))
        super().__init__(setup, workshop, Install(setup.models, self.version))

    def answer(self, call: Call) -> Reply:
        """Answer one call, with the time it took in a header."""
        started_s = time.perf_counter()
        # The reply is rebuilt without headers on its way out, so a 401 carries no WWW-Authenticate.
        return replace(super().answer(call), headers={"X-Process-Time": f"{time.perf_counter() - started_s:.4f}"})

    def own_routes(self) -> Mapping[tuple[str, str], Route]:
        """Add the ControlNet extension; the list of schedules came with 1.9."""
        routes = {
            **super().own_routes(),
            **control_routes(self.install, self.studio, forge=False),
            ("GET", API + "sd-vae"): always(self.install.list_vaes),
        }
        if self.version == "1.8":
            del routes["GET", API + "schedulers"]
        return routes

    def fields(self, kind: str) -> Sequence[Field]:
        """Give the keys of a generation request; the schedule was part of the sampler's name up to 1.8."""
        fields = super().fields(kind)
        return [field for field in fields if field.name not in _SINCE_1_9] if self.version == "1.8" else fields

    def extras_fields(self, path: str) -> Sequence[Field]:
        """Give the keys of an extras request; 1.8 enlarges up to 8 times, later versions as much as asked."""
        if self.version == "1.8":
            return a1111_fields(path)
        return [
            replace(field, minimum=0, maximum=None) if field.name == "upscaling_resize" else field
            for field in a1111_fields(path)
        ]

    def check(self, values: JsonObject, kind: str) -> JsonObject:
        """Complete what 1.8 does not know."""
        missing: JsonObject = {"scheduler": None, "hr_scheduler": None} if self.version == "1.8" else {}
        return {**super().check(values, kind), **missing}

    def overridden(self, values: JsonObject) -> JsonObject:
        """Draw with the model's own VAE where none has exactly the name, which nobody is told of but by its absence."""
        options = super().overridden(values)
        known = {"Automatic", "None", *strings(array_at(self.install.facts, "vaes"))}
        return options if options["sd_vae"] in known else {**options, "sd_vae": "None"}

    def http_error(self, status: int, detail: str) -> Reply:
        """Give the four keys that every error of this program has."""
        return _error(status, "HTTPException", detail, "")

    def exception(self, status: int, kind: str, message: str) -> Reply:
        """Give the same four keys, with the exception's text in another of them."""
        return _error(status, kind, "", message)


def _error(status: int, kind: str, detail: str, message: str) -> Reply:
    document: dict[str, JsonValue] = {"error": kind, "detail": detail, "body": "", "errors": message}
    return json_reply(document, status)
