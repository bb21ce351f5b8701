"""The parts of a request in Draw Things' words: refiner, hires fix, upscaler, LoRAs, controls, tiles."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from sdclient.dialects.draft import check_down_sampling, shown
from sdclient.dialects.drawthings_body import SIZE_STEP_PX, DrawThingsDraft
from sdclient.dialects.facts import control_input_labels
from sdclient.dialects.lora_tags import lose_tags
from sdclient.schemas.generation import Img2Img, Txt2Img
from sdclient.schemas.parts import ControlNet, HiresFix, Tiles

__all__ = ["IMPORTANCE", "put_controls", "put_enlarge", "put_hires", "put_loras", "put_refiner", "put_tiled"]

IMPORTANCE: Mapping[str, str] = {
    "Balanced": "balanced",
    "My prompt is more important": "prompt",
    "ControlNet is more important": "control",
}
"""What Draw Things calls each way of settling a quarrel between prompt and control."""
# The beginning of a preprocessor's name -> what Draw Things calls the hint that it makes.
_HINTS: Mapping[str, str] = {
    "blur": "Blur",
    "canny": "Canny",
    "color": "Color",
    "depth": "Depth",
    "dw_openpose": "Pose",
    "hed": "SoftEdge",
    "inpaint": "Inpaint",
    "lineart": "LineArt",
    "mlsd": "MLSD",
    "normal": "Normal BAE",
    "openpose": "Pose",
    "pidinet": "SoftEdge",
    "recolor": "Gray",
    "scribble": "Scribble",
    "seg": "Segmentation",
    "shuffle": "Shuffle",
    "softedge": "SoftEdge",
    "t2ia_color": "Color",
    "t2ia_sketch": "Scribble",
    "tile": "Tile",
}
_EXACT_MODULES = ("none", "tile_resample")


def put_refiner(request: Txt2Img | Img2Img, draft: DrawThingsDraft) -> None:
    """Write the refiner, or switch the app's off."""
    refiner = request.refiner
    if refiner is None:
        return
    draft.put("refiner_model", refiner.model, "refiner.model")
    draft.put("refiner_start", refiner.switch_at, "refiner.switch_at")
    if refiner.model == request.model:
        draft.drop("refiner", "Draw Things ignores a refiner that is the model itself; name another or leave it out")


def put_hires(hires: HiresFix, size: tuple[int, int], draft: DrawThingsDraft) -> None:
    """Write the hires fix. Its first pass must be smaller both ways, or the app skips it without a word."""
    first = (hires.first_width, hires.first_height)
    if any(side % SIZE_STEP_PX for side in first):
        sides = f"{first[0]}x{first[1]}"
        draft.refuse("hires", f"Draw Things makes the first pass in multiples of {SIZE_STEP_PX}, and {sides} is none")
    if first[0] >= size[0] or first[1] >= size[1]:
        draft.refuse(
            "hires",
            f"Draw Things skips the hires fix unless the first pass ({first[0]}x{first[1]}) is smaller than the "
            f"image ({size[0]}x{size[1]}) in both directions",
        )
    if hires.strength >= 1:
        draft.drop("hires.strength", "Draw Things skips the hires fix at strength 1; choose less")
    draft.put("hires_fix", value=True, field="hires")
    draft.put("hires_fix_width", hires.first_width, "hires.first_width")
    draft.put("hires_fix_height", hires.first_height, "hires.first_height")
    draft.put("hires_fix_strength", hires.strength, "hires.strength")
    if hires.upscaler is not None:
        message = f"Draw Things enlarges between the passes by a plain resize, not with {hires.upscaler}"
        draft.lose("hires.upscaler", "approximated", "note" if _is_plain(hires.upscaler) else "warning", message)
    if hires.steps is not None:
        draft.drop("hires.steps", "Draw Things gives the second pass the steps of the first")


def _is_plain(upscaler: str) -> bool:
    return upscaler.casefold() in ("lanczos", "nearest", "bilinear", "bicubic", "none")


def put_enlarge(request: Txt2Img | Img2Img, draft: DrawThingsDraft) -> None:
    """Write the upscaler, which Draw Things runs in the same call; off is null there."""
    enlarge = request.enlarge
    if enlarge is None:
        return
    if enlarge.scale not in (2, 4):
        draft.refuse(
            "enlarge.scale",
            f"Draw Things enlarges 2 or 4 times, not {enlarge.scale:g}; anything else becomes the network's own factor",
        )
        return
    if _is_file_name(enlarge.model, "enlarge.model", draft):
        draft.put("upscaler", enlarge.model, "enlarge.model")
        draft.put("upscaler_scale", int(enlarge.scale), "enlarge.scale")


def put_loras(request: Txt2Img | Img2Img, draft: DrawThingsDraft) -> None:
    """Write the LoRAs. The file that a tag of the prompt may mean has another name there, so tags stay words."""
    lose_tags(request.prompt, draft, "name the LoRA's file in loras, and take the tag out")
    items: list[JsonValue] = [
        {"file": lora.model, "weight": lora.weight, "mode": lora.mode}
        for number, lora in enumerate(request.loras)
        if _is_file_name(lora.model, f"loras[{number}].model", draft)
    ]
    if items:
        draft.put("loras", items, "loras")


def put_controls(request: Txt2Img | Img2Img, draft: DrawThingsDraft) -> None:
    """Write the ControlNet units. The app takes no image for them: it uses the init image."""
    if request.controls:
        units: list[JsonValue] = [_control(unit, f"controls[{n}]", draft) for n, unit in enumerate(request.controls)]
        draft.put("controls", units, "controls")
    if request.controls and isinstance(request, Txt2Img):
        draft.lose(
            "controls",
            "inherited",
            "warning" if request.inherit else "error",
            "in txt2img Draw Things steers by whatever its canvas shows, and no image can be sent; use img2img"
            f"{'' if request.inherit else ', or set inherit to accept that'}",
        )


def _control(unit: ControlNet, field: str, draft: DrawThingsDraft) -> JsonValue:
    if unit.image is not None:
        draft.refuse(f"{field}.image", "Draw Things takes no image for a control; it uses the init image")
    _drop_control_settings(unit, field, draft)
    return {
        "file": unit.model,
        "weight": unit.weight,
        "guidanceStart": unit.guidance_start,
        "guidanceEnd": unit.guidance_end,
        "noPrompt": False,
        "globalAveragePooling": True,
        "downSamplingRate": _down_sampling(unit, field, draft),
        "controlImportance": IMPORTANCE[unit.control_mode],
        "inputOverride": _hint(unit, field, draft),
        "targetBlocks": [],
    }


def _hint(unit: ControlNet, field: str, draft: DrawThingsDraft) -> str:
    module = unit.module.casefold()
    if module == "none":
        return ""
    labels = {label.casefold(): label for label in control_input_labels()}
    if module in labels:
        return labels[module]
    hint = next((label for start, label in _HINTS.items() if module.startswith(start)), "")
    if not hint:
        message = f"Draw Things has no preprocessor {unit.module}; it prepares the hint as the control's model wants"
        draft.lose(f"{field}.module", "approximated", "warning", message)
    elif module not in _EXACT_MODULES:
        message = f"Draw Things prepares the hint {hint} in its own way, not with {unit.module}"
        draft.lose(f"{field}.module", "approximated", "note", message)
    return hint


def _down_sampling(unit: ControlNet, field: str, draft: DrawThingsDraft) -> float:
    if unit.threshold_a is None:
        return 1.0
    if unit.module.casefold() != "tile_resample":
        draft.drop(f"{field}.threshold_a", "Draw Things has this setting for tile_resample only")
        return 1.0
    check_down_sampling(unit.threshold_a, field, draft)
    return unit.threshold_a


def _drop_control_settings(unit: ControlNet, field: str, draft: DrawThingsDraft) -> None:
    if unit.threshold_b is not None:
        draft.drop(f"{field}.threshold_b", "Draw Things has no such setting")
    if unit.hr_option not in (None, "Both"):
        draft.drop(f"{field}.hr_option", "in Draw Things a control takes part in both passes")
    if unit.union_control_type is not None:
        draft.drop(f"{field}.union_control_type", "Draw Things uses such a model by the hint that module names", "note")
    # How the hint is fitted hardly shows: Draw Things always brings it to the working size.
    for name in ("resize_mode", "processor_res", "pixel_perfect"):
        if getattr(unit, name) is not None:
            draft.drop(f"{field}.{name}", "Draw Things brings the hint to the working size by itself", "note")


def put_tiled(request: Txt2Img | Img2Img, draft: DrawThingsDraft) -> None:
    """Write the tiles of the steps and of decoding."""
    tiled = request.tiled
    if tiled is None:
        return
    for part, tiles, switch, prefix in (
        ("diffusion", tiled.diffusion, "tiled_diffusion", "diffusion_tile"),
        ("vae", tiled.vae, "tiled_decoding", "decoding_tile"),
    ):
        if tiles is not None:
            draft.put(switch, value=True, field=f"tiled.{part}")
            _put_tiles(tiles, prefix, f"tiled.{part}", draft)


def _put_tiles(tiles: Tiles, prefix: str, field: str, draft: DrawThingsDraft) -> None:
    for name, asked in (("width", tiles.width), ("height", tiles.height), ("overlap", tiles.overlap)):
        sent = max(SIZE_STEP_PX, asked // SIZE_STEP_PX * SIZE_STEP_PX)
        if sent != asked:
            message = f"Draw Things works in multiples of {SIZE_STEP_PX}: {sent} instead of {asked} pixels"
            draft.lose(f"{field}.{name}", "approximated", "warning", message)
        draft.put(f"{prefix}_{name}", sent, f"{field}.{name}")


def _is_file_name(name: str, field: str, draft: DrawThingsDraft) -> bool:
    if "/" in name or "\\" in name:
        draft.refuse(field, f"Draw Things wants a file name without a folder, not {shown(name)}")
        return False
    return True
