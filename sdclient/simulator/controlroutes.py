"""ControlNet's own routes: its lists, and running a preprocessor alone."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image, ImageFilter, ImageOps

from sdclient.simulator.catalogue import Install, strings
from sdclient.simulator.dialect import Call, Reply, json_reply
from sdclient.simulator.facts import Field, JsonObject, JsonValue, array_at
from sdclient.simulator.framework import HttpError, validated
from sdclient.simulator.settle import text
from sdclient.simulator.studio import Studio
from sdclient.simulator.webui import Route, always

__all__ = ["control_routes"]

_KINDS = ("All", "Canny", "Depth", "OpenPose", "Tile")


def control_routes(install: Install, studio: Studio, *, forge: bool) -> Mapping[tuple[str, str], Route]:
    """Name the routes under `/controlnet`.

    Args:
        install: Which models and preprocessors there are.
        studio: Reads and encodes images.
        forge: Whether this is Forge, which has fewer routes and tells less.
    """
    models = strings(array_at(install.facts, "controlnet_models"))
    modules = strings(array_at(install.facts, "controlnet_modules"))
    if forge:
        models, modules = ["None", *models], ["None", *modules[1:]]
    detail: JsonObject = {name: {"model_free": False, "sliders": []} for name in modules}
    listed: JsonObject = {"module_list": list(modules)}
    routes: dict[tuple[str, str], Route] = {
        ("GET", "/controlnet/model_list"): always(lambda: {"model_list": list(models)}),
        ("GET", "/controlnet/module_list"): always(lambda: listed if forge else {**listed, "module_detail": detail}),
        ("GET", "/controlnet/control_types"): always(lambda: {"control_types": _control_types(modules, models)}),
        ("POST", "/controlnet/detect"): lambda call: _detect(call, modules, studio),
    }
    if not forge:
        routes["GET", "/controlnet/version"] = always(lambda: {"version": 3})
        routes["GET", "/controlnet/settings"] = always(lambda: {"control_net_unit_count": 3})
    return routes


def _control_types(modules: list[str], models: list[str]) -> JsonValue:
    found: JsonObject = {}
    for kind in _KINDS:
        word = "" if kind == "All" else kind.lower()
        fitting = [name for name in modules if word in name.lower()] or modules[:1]
        made = [name for name in models if word in name.lower()] or ["None"]
        found[kind] = {
            "module_list": list[JsonValue](fitting),
            "model_list": list[JsonValue](made),
            "default_option": fitting[0],
            "default_model": made[0],
        }
    return found


def _detect(call: Call, modules: list[str], studio: Studio) -> Reply:
    """Run a preprocessor on images; a client that sends `controlnet_images` has sent none."""
    fields = (
        Field("controlnet_module", "string", default="none"),
        Field("controlnet_input_images", "array", default=[]),
        Field("controlnet_masks", "array", default=[]),
    )
    values = validated(call, fields)
    name, sent = text(values["controlnet_module"]), values["controlnet_input_images"]
    if name not in modules:
        raise HttpError(422, "Module not available")
    if not isinstance(sent, list) or not sent:
        raise HttpError(422, "No image selected")
    maps = [_preprocessed(name, studio.read(text(item))) for item in sent]
    answer: JsonObject = {"images": [studio.encode(image, None) for image in maps], "info": "Success"}
    if name.startswith("openpose"):
        answer["poses"] = [{"people": [], "canvas_width": image.width, "canvas_height": image.height} for image in maps]
    return json_reply(answer)


def _preprocessed(name: str, image: Image.Image) -> Image.Image:
    """Make something that shows which preprocessor ran."""
    if name in {"canny", "Canny"}:
        return image.convert("L").filter(ImageFilter.FIND_EDGES).convert("RGB")
    if name.startswith(("depth", "openpose")):
        return image.convert("L").convert("RGB")
    if name.startswith("invert"):
        return ImageOps.invert(image.convert("RGB"))
    return image.filter(ImageFilter.GaussianBlur(2)) if name.startswith(("blur", "tile")) else image.copy()
