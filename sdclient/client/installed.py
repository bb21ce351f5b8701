"""Names that a server would drop without a word: LoRAs, styles, VAEs and preprocessors, held against its own lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

from pydantic import JsonValue

from sdclient.client.connection import Connection
from sdclient.client.labels import sent_units
from sdclient.dialects.a1111_names import model_stem
from sdclient.dialects.base import Compiled, Loss, Route
from sdclient.dialects.elsewhere import missing_overlays
from sdclient.dialects.facts import close_names, few_names
from sdclient.dialects.lora_tags import lora_stem, lora_tags
from sdclient.dialects.losses import add_losses
from sdclient.errors import ConfigurationError, ServerError
from sdclient.schemas import Img2Img, Txt2Img

MAX_SCALE = 8
"""How many times as large an upscaler network makes an image at most."""
_SCRIPT_FIELDS = {
    "tiled diffusion": "tiled.diffusion",
    "multidiffusion integrated": "tiled.diffusion",
    "tiled vae": "tiled.vae",
    "never oom integrated": "tiled.vae",
    "ultimate sd upscale": "ultimate_upscale",
    "sd ultimate upscale": "ultimate_upscale",
    "sd upscale": "sd_upscale",
}
# The last two are SD.Next's own.
_VAES_OF_NO_FILE = frozenset({"automatic", "none", "taesd", "repa-e"})


def compile_for(connection: Connection, request: Txt2Img | Img2Img) -> Compiled:
    """Compile a request for a server, with the losses that only its lists of files can tell.

    Args:
        connection: The server.
        request: The request, seed drawn and overlays merged.

    Raises:
        PayloadError: If the request is not valid for this dialect.
        TransportError: If the server cannot be asked what it has.
    """
    compiled = connection.dialect.compile(request, connection.facts)
    compiled, of_vaes = _with_its_vaes(connection, request, compiled)
    losses = [
        *_other_arguments(connection, compiled),
        *_spoken_otherwise(connection),
        *missing_overlays(request, connection.dialect),
        *_missing_loras(connection, request),
        *_missing_styles(connection, compiled),
        *of_vaes,
        *_missing_modules(connection, request, compiled),
    ]
    return add_losses(compiled, losses)


def check_enlarging(connection: Connection, upscaler: object, scale: object) -> None:
    """Look at what a call that only enlarges is to do; a server answers an unknown upscaler with a bare 500.

    Raises:
        ConfigurationError: If the scale is none, or the server lists no such upscaler.
        TransportError: If the server cannot be asked what it has.
    """
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 1 <= scale <= MAX_SCALE:
        raise ConfigurationError(f"extra_single_image: scale {scale!r:.40}: must be a number between 1 and {MAX_SCALE}")
    if not isinstance(upscaler, str):
        raise ConfigurationError(f"extra_single_image: upscaler {upscaler!r:.80}: must be a name")
    if connection.dialect.route("extra_single_image") is None:
        # Said by the call itself.
        return
    known = connection.names("upscalers", "name")
    if known is not None and upscaler not in known:
        # It may have been installed since the server was asked.
        connection.forget()
        known = connection.names("upscalers", "name")
    if known is not None and upscaler not in known:
        where = f"{connection.dialect.title} at {connection.address.base_url}"
        raise ConfigurationError(f"{where}: has no upscaler {upscaler!r:.80}{close_names(upscaler, known)}")


def _other_arguments(connection: Connection, compiled: Compiled) -> Iterable[Loss]:
    """Compare the arguments that a script has on this server with those known here: they go by their place."""
    from sdclient.dialects.tables import scripts

    body = compiled.call.body
    always_on = body.get("alwayson_scripts")
    titles = [title.casefold() for title in always_on] if isinstance(always_on, dict) else []
    titles += [str(body["script_name"]).casefold()] if body.get("script_name") else []
    known = {title: one for title, one in scripts(connection.dialect.name).items() if title in titles}
    for title, script in known.items():
        counts = connection.script_args.get(title)
        if counts and not any(script.takes(count) for count in counts):
            message = (
                f"{script.title} takes {' or '.join(map(str, sorted(counts)))} arguments on this server, and "
                f"{len(script.args)} are known here: another version, which may read them otherwise; look at the image"
            )
            yield Loss(_SCRIPT_FIELDS[title], "approximated", "warning", message)


def _spoken_otherwise(connection: Connection) -> Iterable[Loss]:
    found = connection.taken_for
    if found is not None:
        message = f"{found.title} answers there, and is spoken to as {connection.dialect.title}; leave the dialect out"
        yield Loss("dialect", "replaced", "warning", message)


def _missing_loras(connection: Connection, request: Txt2Img | Img2Img) -> Iterable[Loss]:
    asked = [(f"loras[{number}].model", lora_stem(lora.model)) for number, lora in enumerate(request.loras)]
    asked += [("prompt", tag.name) for tag in lora_tags(request.prompt)]
    # Where a LoRA is named by its path, the dialect itself looks it up.
    if not asked or connection.dialect.loras_by_path:
        return
    known = connection.names("loras", "name", "alias")
    if known is None:
        return
    for field, name in dict.fromkeys(asked):
        if name not in known:
            message = f"this server has no LoRA {name!r:.80} and would draw without it{close_names(name, known)}"
            yield Loss(field, "dropped", "warning", message)


def _missing_styles(connection: Connection, compiled: Compiled) -> Iterable[Loss]:
    asked = compiled.call.body.get("styles")
    known = connection.names("styles", "name") if asked else None
    if known is None or not isinstance(asked, list):
        return
    for name in asked:
        if isinstance(name, str) and name not in known:
            message = (
                f"this server has no prompt style {name!r:.80} and would draw without it{close_names(name, known)}"
            )
            yield Loss("styles", "dropped", "warning", message)


def vae_names(connection: Connection) -> tuple[str, ...] | None:
    """Return the names by which a server finds its VAEs, and Forge its text encoders; None where it will not say.

    Raises:
        TransportError: If the server cannot be asked what it has.
    """
    if not connection.dialect.vaes_by_file:
        return connection.names("vaes", "model_name")
    found = connection.names("vaes", "filename")
    return None if found is None else tuple(dict.fromkeys(map(_file_name, found)))


def _with_its_vaes(
    connection: Connection, request: Txt2Img | Img2Img, compiled: Compiled
) -> tuple[Compiled, list[Loss]]:
    """Name every VAE and module as the server does: it knows exact names alone, and draws without all others."""
    options = compiled.call.body.get("override_settings")
    options = options if isinstance(options, dict) else {}
    asked = {name: options[name] for name in ("sd_vae", "forge_additional_modules") if options.get(name)}
    known = vae_names(connection) if asked else None
    if known is None:
        return compiled, []
    losses: list[Loss] = []
    spelled: dict[str, JsonValue] = {}
    for option, value in asked.items():
        names = value if isinstance(value, list) else [value]
        is_own = request.vae is not None and request.vae in names
        field = "vae" if is_own else f"native.{connection.dialect.name}.override_settings.{option}"
        takes_path = connection.dialect.vaes_by_file
        found = [
            _spelled_vae(name, field, known, losses, takes_path=takes_path) if isinstance(name, str) else name
            for name in names
        ]
        spelled[option] = found if isinstance(value, list) else found[0]
    body = {**compiled.call.body, "override_settings": {**options, **spelled}}
    return replace(compiled, call=replace(compiled.call, body=body)), losses


def _spelled_vae(name: str, field: str, known: Sequence[str], losses: list[Loss], *, takes_path: bool) -> str:
    """Return a VAE as the server names it where it is the only one that fits; else itself, and the loss is noted."""
    if not name or name.casefold() in _VAES_OF_NO_FILE or (_file_name(name) if takes_path else name) in known:
        return name
    what = "module" if field.endswith("modules") else "VAE"
    fitting = [one for one in known if model_stem(one.casefold()) == model_stem(name.casefold())]
    if len(fitting) == 1:
        message = f"this server knows no {what} {name!r:.80}; it is taken for {fitting[0]}, the only one that fits"
        losses.append(Loss(field, "replaced", "note", message))
        return fitting[0]
    hint = f"; several fit: {few_names(fitting)}" if fitting else close_names(name, known)
    message = f"this server has no {what} {name!r:.80} and would use the model's own{hint}"
    losses.append(Loss(field, "dropped", "warning", message))
    return name


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _missing_modules(connection: Connection, request: Txt2Img | Img2Img, compiled: Compiled) -> Iterable[Loss]:
    """Refuse ControlNet units whose preprocessor is not there: the unit fails, and the image comes without it."""
    asked = [(f"controls[{number}].module", unit.module) for number, unit in enumerate(request.controls)]
    if not asked:
        sent = enumerate(sent_units("ControlNet", compiled))
        asked = [
            (f"ControlNet[{n}].module", str(unit.get("module", "none"))) for n, unit in sent if unit.get("enabled")
        ]
    route = connection.dialect.route("controlnet_modules")
    known = connection.names("controlnet_modules", "module_list") if asked and route is not None else None
    if route is None or known is None:
        return
    names = {name.casefold() for name in known}
    for field, module in asked:
        if module.casefold() not in {"none", *names} and not _is_label(module, connection, route):
            message = f"this server has no preprocessor {module!r:.80}{close_names(module, known)}"
            yield Loss(field, "refused", "error", message)


def _is_label(module: str, connection: Connection, route: Route) -> bool:
    """Tell whether a preprocessor goes by this name on the extension's pages, which it takes as well; yes in doubt."""
    try:
        body = connection.ask_route(replace(route, path=f"{route.path}?alias_names=true")).body
    except ServerError:
        return True
    labels = cast("dict[str, object]", body).get("module_list") if isinstance(body, dict) else None
    if not isinstance(labels, list):
        return True
    return module.casefold() in {label.casefold() for label in cast("list[object]", labels) if isinstance(label, str)}
