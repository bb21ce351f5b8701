"""Forge: A1111's routes with other errors, other samplers, ControlNet built in, and modules instead of a VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sdclient.simulator.a1111 import Classic
from sdclient.simulator.catalogue import ForgeInstall
from sdclient.simulator.controlroutes import control_routes
from sdclient.simulator.dialect import Reply, Setup, json_reply
from sdclient.simulator.facts import Field, JsonObject, JsonValue, array_at, forge_fields, object_at
from sdclient.simulator.settle import ServerFaultError
from sdclient.simulator.webui import API, Route, always
from sdclient.simulator.workshop import Workshop

__all__ = ["Forge"]


class Forge(Classic):
    """The fork started with `--api`.

    Args:
        setup: `options` are server options, known ones or new.
        workshop: The one GPU.
    """

    def __init__(self, setup: Setup, workshop: Workshop) -> None:
        setup.choose_version("forge", ("2025-06",))
        self._install = ForgeInstall(setup.models)
        super().__init__(setup, workshop, self._install)

    def fresh_options(self) -> JsonObject:
        """Add the options that only this program has."""
        return {**super().fresh_options(), **object_at(self._install.facts, "added_options")}

    def own_routes(self) -> Mapping[tuple[str, str], Route]:
        """Add modules and the ControlNet that is built in; there is no sd-vae."""
        return {
            **super().own_routes(),
            **control_routes(self._install, self.studio, forge=True),
            ("GET", API + "sd-modules"): always(self._install.list_modules),
        }

    def fields(self, kind: str) -> Sequence[Field]:
        """Give the keys of a generation request, with those that this program added."""
        return forge_fields(kind)

    def check(self, values: JsonObject, kind: str) -> JsonObject:
        """Break where the hires pass looks into a list that is null unless the request sends one."""
        if values.get("enable_hr") is True and values["hr_additional_modules"] is None:
            raise ServerFaultError("TypeError", "argument of type 'NoneType' is not iterable")
        return super().check(values, kind)

    def overridden(self, values: JsonObject) -> JsonObject:
        """Drop the modules that are not there, which nobody is told of."""
        options = super().overridden(values)
        asked = options["forge_additional_modules"]
        known = {str(name) for part in ("vaes", "text_encoders") for name in array_at(self._install.facts, part)}
        names = [str(name).rsplit("/", 1)[-1] for name in asked] if isinstance(asked, list) else []
        named: list[JsonValue] = [name for name in names if name in known]
        return {**options, "forge_additional_modules": named}

    def exception(self, status: int, kind: str, message: str) -> Reply:
        """Give the body of an exception: the text is in `message`, which A1111 calls `errors`."""
        return json_reply({"error": kind, "detail": "", "body": "", "message": message}, status)
