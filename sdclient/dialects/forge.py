"""Forge: A1111's requests, with modules for the VAE, ControlNet built in, and tiles under other titles."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from sdclient.dialects.a1111 import A1111
from sdclient.dialects.a1111_names import exact_control_model
from sdclient.dialects.a1111_native import NativeTables, put_native, without
from sdclient.dialects.a1111_parts import control_unit
from sdclient.dialects.a1111_scripts import has_script
from sdclient.dialects.base import Operation, Route, ServerFacts
from sdclient.dialects.draft import Draft
from sdclient.dialects.tables import script
from sdclient.schemas.generation import Img2Img, Txt2Img
from sdclient.schemas.parts import ControlNet, Tiled, Tiles

__all__ = ["Forge"]

_SAME_MODULES = "Use same choices"
_DEFAULT_CFG_SCALE = 7.0
_DEFAULT_DISTILLED = 3.5


class Forge(A1111):
    """The dialect of Forge; a payload's overlay for A1111 is taken first, then its own."""

    name = "forge"
    title = "Forge"
    short = "Forge"
    vaes_by_file = True
    overlay_names: tuple[str, ...] = ("a1111", "forge")
    routes: Mapping[Operation, Route] = {**A1111.routes, "vaes": Route("GET", "/sdapi/v1/sd-modules")}
    same: frozenset[str] = A1111.same | {"distilled_cfg_scale"}
    cannot: Mapping[str, str] = {"shift": "Forge has no sigma shift over HTTP; distilled_cfg_scale is near"}

    def recognises(self, options: Mapping[str, JsonValue]) -> bool:
        """Tell whether these options hold some that only Forge has."""
        return "sd_model_checkpoint" in options and any(name.startswith("forge_") for name in options)

    def put_vae(self, vae: str, draft: Draft) -> None:
        """Write the VAE as one of the modules; the option of A1111 is still there, and perhaps without effect."""
        # Unverified [forge-vae]: sd_vae may still work; the modules do in any case.
        draft.override("forge_additional_modules", [] if vae.casefold() in ("automatic", "none") else [vae], "vae")

    def control_unit(self, unit: ControlNet, field: str, draft: Draft, facts: ServerFacts) -> JsonValue:
        """Return a unit in Forge's spelling; what it does not know it would drop without a word."""
        body = control_unit(unit, field, draft)
        body["model"] = exact_control_model(unit.model, f"{field}.model", draft, facts)
        if unit.module.casefold() == "none":
            body["module"] = "None"
        if "mask" in body:
            body["mask_image"] = body.pop("mask")
        if body.pop("union_control_type", None) is not None:
            draft.drop(f"{field}.union_control_type", "Forge has no such setting; it takes the model as it comes")
        if unit.module == "tile_resample" and body.pop("threshold_a", None) is not None:
            draft.drop(f"{field}.threshold_a", "Forge's tile_resample has no down-sampling rate")
        return body

    def put_tiled(self, tiled: Tiled, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the tiles for the scripts that come with Forge; A1111's extension does not fit it."""
        # Unverified [tiles-on-forge]: the extension may fail or work there; what Forge brings along does.
        del request
        if tiled.diffusion is not None:
            _put_diffusion(tiled.diffusion, draft, facts)
        if tiled.vae is not None:
            _put_vae_tiles(tiled.vae, draft, facts)

    def put_native(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write A1111's native keys, which mean the same here, and Forge's own, which win.

        Raises:
            PayloadError: If a key or value is none of Forge's.
        """
        own = request.native.get(self.name, {})
        shared = without(request.native.get("a1111", {}), own)
        put_native(shared, NativeTables.of(self.name, request.kind, "native.a1111"), draft, facts)
        put_native(own, NativeTables.of(self.name, request.kind), draft, facts)

    def complete(self, request: Txt2Img | Img2Img, draft: Draft) -> None:
        """Complete a hires fix: without its modules Forge fails, and without a guidance it takes 1."""
        super().complete(request, draft)
        if not draft.values.get("enable_hr"):
            return
        values = draft.values
        # Unverified [forge-hires-modules]: without it Forge may fail; with it, it does not.
        values.setdefault("hr_additional_modules", [_SAME_MODULES])
        values.setdefault("hr_cfg", values.get("cfg_scale", _DEFAULT_CFG_SCALE))
        values.setdefault("hr_distilled_cfg", values.get("distilled_cfg_scale", _DEFAULT_DISTILLED))


def _put_diffusion(tiles: Tiles, draft: Draft, facts: ServerFacts) -> None:
    part = script("forge_tiled_diffusion")
    if not has_script(part.title, facts):
        draft.drop("tiled.diffusion", f"this server has no {part.title}; it works without tiles")
        return
    args = dict(part.defaults)
    args |= {"enabled": True, "tile_width": tiles.width, "tile_height": tiles.height, "tile_overlap": tiles.overlap}
    draft.add_script(part.title, list(args.values()), "tiled.diffusion")


def _put_vae_tiles(tiles: Tiles, draft: Draft, facts: ServerFacts) -> None:
    part = script("forge_never_oom")
    if not has_script(part.title, facts):
        draft.drop("tiled.vae", f"this server has no {part.title}; it works without tiles, and may run out of memory")
        return
    if tiles.model_fields_set:
        draft.lose("tiled.vae", "approximated", "note", "Forge chooses the tiles of the VAE by itself")
    draft.add_script(part.title, list({**part.defaults, "vae_enabled": True}.values()), "tiled.vae")
