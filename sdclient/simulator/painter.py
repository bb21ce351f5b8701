"""Images from briefs: the same brief gives the same bytes, and everything asked for leaves a trace in the pixels."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from PIL import Image, ImageChops, ImageEnhance, ImageFilter

from sdclient.simulator.brush import hsv, soft_field
from sdclient.simulator.palette import choose_palette, digest_number
from sdclient.simulator.scene import Scene, draw_scene

__all__ = ["Brief", "enlarge", "paint", "repaint"]

# Scenes are drawn at most this large, and scaled up from there: two slow cores have to make many of them.
_DRAWN_PX = 1152
_USUAL_CFG = 7.0
_FIELD_CELLS = 12


@dataclass(frozen=True, slots=True)
class Brief:
    """What to paint.

    Attributes:
        prompt: What the image shows.
        seed: Chooses among what the prompt leaves open.
        model: Name of the model; another one paints another picture.
        width_px: Width of the result.
        height_px: Height of the result.
        negative_prompt: Changes tone and light a little.
        steps: Few of them leave the image soft and grainy.
        cfg_scale: More of it gives stronger colours.
        refiner: Name of the refiner, or "" for none; it adds fine detail.
        hires_strength: Strength of the second pass, 0 to 1, or None for none; it makes outlines crisp.
        loras: Names and weights; each tints the image its own way.
        details: All other settings as text; any change of it changes light and tone a little.
        done: Part of the steps that was done when the work was interrupted, 0 to 1.
    """

    prompt: str
    seed: int
    model: str
    width_px: int
    height_px: int
    negative_prompt: str = ""
    steps: int = 20
    cfg_scale: float = _USUAL_CFG
    refiner: str = ""
    hires_strength: float | None = None
    loras: tuple[tuple[str, float], ...] = ()
    details: str = ""
    done: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width_px, self.height_px

    def numbered(self, index: int, done: float) -> Brief:
        """Give the brief of image `index` of a batch, of which the part `done` of the steps was made."""
        return replace(self, seed=self.seed + index, done=done)


def paint(brief: Brief, *, hint: Image.Image | None = None, hold: float = 0.0) -> Image.Image:
    """Paint from nothing.

    Args:
        brief: What to paint.
        hint: A control image whose light and shade the result follows, or None.
        hold: How closely it follows the hint, 0 to 1.
    """
    scale = min(1.0, _DRAWN_PX / max(brief.size))
    drawn = (max(1, round(brief.width_px * scale)), max(1, round(brief.height_px * scale)))
    scene = draw_scene(brief.prompt, brief.seed, brief.model, drawn)
    image = _toned(scene.image, brief)
    if hint is not None and hold > 0:
        shade = hint.convert("L").convert("RGB").resize(drawn, Image.Resampling.BILINEAR)
        image = Image.blend(image, ImageChops.soft_light(image, shade), min(1.0, hold))
    image = _finished(image, scene, brief)
    if drawn != brief.size:
        image = image.resize(brief.size, Image.Resampling.LANCZOS)
    return _unfinished(image, brief)


def repaint(brief: Brief, init: Image.Image, strength: float, *, hold: float = 0.0) -> Image.Image:
    """Paint over an image.

    At 0 nothing changes. Up to about a half the same picture comes out in other light, with more detail; above, a
    new picture shows through; at 1 nothing is left of the old one unless a control holds it.

    Args:
        brief: What to paint; its size is that of `init`.
        init: The image to start from, RGB.
        strength: Denoising strength, 0 to 1.
        hold: How strongly a control ties the result to `init`, 0 to 1.
    """
    strength = min(1.0, max(0.0, strength))
    if strength == 0:
        return init.copy()
    mood = _toned(init.filter(ImageFilter.UnsharpMask(2, 90, 0)), brief)
    tint = Image.new("RGB", init.size, choose_palette(brief.prompt, brief.model).sky[2])
    mood = ImageEnhance.Contrast(Image.blend(mood, tint, 0.06)).enhance(1.05)
    image = Image.blend(init, mood, min(1.0, strength * 1.8 * (1 - 0.35 * hold)))
    # The new picture fades in above a half, and a control keeps it out.
    share = max(0.0, (strength - 0.55) / 0.45) ** 1.2 * (1 - 0.8 * min(1.0, max(0.0, hold)))
    if share > 0:
        image = Image.blend(image, paint(replace(brief, width_px=init.width, height_px=init.height)), share)
    return image


def enlarge(image: Image.Image, size: tuple[int, int], upscaler: str) -> Image.Image:
    """Scale an image with an upscaler; each has its own sharpness, and `Nearest` its own squares.

    Args:
        image: What to scale.
        size: Width and height of the result in pixels.
        upscaler: Name or file of the upscaler.
    """
    name = upscaler.lower()
    if "nearest" in name:
        return image.resize(size, Image.Resampling.NEAREST)
    result = image.resize(size, Image.Resampling.LANCZOS)
    if "lanczos" in name:
        return result
    amount = 1.6 if "sharp" in name else 1.2 + digest_number("upscaler", name) % 64 / 256
    return ImageEnhance.Sharpness(result).enhance(amount)


# --- tone: what changes colours -----------------------------------------------------------------------------------------


def _toned(image: Image.Image, brief: Brief) -> Image.Image:
    """Let guidance, LoRAs, negative prompt and every other setting change the colours."""
    image = ImageEnhance.Color(image).enhance(0.82 + 0.36 * min(2.0, brief.cfg_scale / (2 * _USUAL_CFG)))
    for name, weight in brief.loras:
        tint = hsv(digest_number("lora", name) % 1009 / 1009, 0.55, 0.8)
        image = Image.blend(image, Image.new("RGB", image.size, tint), max(-0.3, min(0.3, 0.07 * weight)))
    return _lit(image, brief)


def _lit(image: Image.Image, brief: Brief) -> Image.Image:
    """Lay a very soft light over the image, whose shape is drawn from all settings together."""
    number = digest_number(
        brief.details,
        brief.negative_prompt,
        brief.steps,
        brief.cfg_scale,
        brief.refiner,
        brief.loras,
        brief.hires_strength,
    )
    field = soft_field(random.Random(number), _FIELD_CELLS, image.size)
    light = field.point([128 + (value - 128) // 22 for value in range(256)]).convert("RGB")
    return ImageChops.overlay(image, light)


# --- finish: what changes sharpness ---------------------------------------------------------------------------------------


def _finished(image: Image.Image, scene: Scene, brief: Brief) -> Image.Image:
    unit = min(image.size) / 512
    crisp = 0.0 if brief.hires_strength is None else 0.5 + 0.5 * brief.hires_strength
    # A dozen steps are enough for a clean image; below that it stays soft.
    softness = unit * (0.32 * (1 - crisp) + 5.0 / (brief.steps + 1) ** 1.3)
    image = image.filter(ImageFilter.GaussianBlur(softness))
    if brief.refiner:
        image = _refined(image, scene.figures, brief)
    return image


def _refined(image: Image.Image, figures: Image.Image, brief: Brief) -> Image.Image:
    """Add a fine weave to the figures and sharpen the outlines."""
    rng = random.Random(digest_number("refiner", brief.refiner))
    weave = soft_field(rng, 144, (288, 288)).point([128 + (value - 128) // 11 for value in range(256)])
    sheet = Image.new("L", image.size)
    for x in range(0, image.width, weave.width):
        for y in range(0, image.height, weave.height):
            sheet.paste(weave, (x, y))
    sharp = image.filter(ImageFilter.UnsharpMask(1.4, 70, 0))
    return Image.composite(ImageChops.overlay(sharp, sheet.convert("RGB")), sharp, figures)


def _unfinished(image: Image.Image, brief: Brief) -> Image.Image:
    """Leave the grain that the steps not made would have removed."""
    missing = 1 - brief.done
    grain = max(missing, 0.5 / brief.steps if brief.steps < 8 else 0.0)  # noqa: PLR2004 - fewer show
    if missing > 0:
        image = image.filter(ImageFilter.GaussianBlur(missing * min(image.size) / 24))
    if grain == 0:
        return image
    rng = random.Random(digest_number("grain", brief.seed))
    noise = soft_field(rng, 96, (image.width, image.height)).convert("RGB")
    return Image.blend(image, noise, min(0.8, grain * 0.7))
