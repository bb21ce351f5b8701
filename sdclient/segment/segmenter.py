"""What every segmenter can do, and opening one by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from sdclient.errors import SegmentationError
from sdclient.segment.choose import choose_objects, mend_object
from sdclient.segment.objects import SegmentedObject
from sdclient.segment.pixels import ImagePixels, ImageRGB, check_pixels, see_on_white, visible_part
from sdclient.segment.prompts import Prompt
from sdclient.segment.settings import SAM_AND_ITS_OPTIONS, SegmentSettings

__all__ = [
    "PromptedSegmenter",
    "Segmented",
    "Segmenter",
    "as_prompted",
    "look_at_image",
    "open_segmenter",
    "require_model",
    "segment_image",
]


@runtime_checkable
class Segmenter(Protocol):
    """Anything that finds the objects of an image. Opened once, used for many images, by one thread at a time."""

    @property
    def name(self) -> str:
        """What it is called in logs and in `objects.json`: ``classical``, ``vit_b``, ..."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: ``cpu``, ``cuda``, ``mps``."""
        ...

    def segment(self, image_rgb: ImageRGB) -> list[SegmentedObject]:
        """Find the objects of an image.

        Args:
            image_rgb: uint8, shape (H, W, 3), RGB.

        Returns:
            The objects; empty where there is none.
        """
        ...


@runtime_checkable
class PromptedSegmenter(Segmenter, Protocol):
    """A segmenter that can also be asked for certain objects, by boxes and points."""

    def segment_prompts(self, image_rgb: ImageRGB, prompts: Sequence[Prompt]) -> list[SegmentedObject]:
        """Find one object for each prompt.

        Args:
            image_rgb: uint8, shape (H, W, 3), RGB.
            prompts: What to look for; all of it lies inside the image.

        Returns:
            The objects, in the order of `prompts`, labelled as those are; prompts that nothing answers are left out.
        """
        ...


def open_segmenter(
    model: str | None = None,
    *,
    device: str | None = None,
    settings: SegmentSettings | None = None,
    models_folder: Path | None = None,
) -> Segmenter:
    """Open a segmenter; its weights are loaded once, here.

    Args:
        model: ``classical``, ``vit_b``, ``vit_l``, ``vit_h``, a checkpoint file, or the name of a plug-in; where the
            settings have words, the folder of their models. None takes it from `settings`.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; None takes it from `settings`, else the best there is.
        settings: Everything else; by default the defaults.
        models_folder: Where weights are looked for by name; by default this user's cache.

    Raises:
        SegmentationError: If the weights are missing, damaged or of another kind, or there is no such device.
        MissingExtraError: If an optional package is missing; the message names the extra that brings it.
        ConfigurationError: If it takes no options, or no half precision, and the settings have them.
    """
    settings = settings or SegmentSettings()
    settings = replace(settings, model=model or settings.model, device=device or settings.device)
    if settings.model == "classical" and not settings.words:
        return _open_classical(settings.device)
    from sdclient.segment.plugins import find_plugin, open_plugin

    plugin = find_plugin("words" if settings.words else settings.model)
    return _open_sam(settings, models_folder) if plugin is None else open_plugin(plugin, settings)


def require_model(settings: SegmentSettings) -> None:
    """Refuse a model that is nowhere, without opening it; weights that can be fetched need not be here.

    Raises:
        SegmentationError: If there is no such model, plug-in or checkpoint, or the checkpoint is damaged.
    """
    from sdclient.segment.plugins import find_plugin
    from sdclient.segment.weights import KNOWN_WEIGHTS, find_checkpoint

    if settings.words:
        from sdclient.segment.words import word_models_folder

        word_models_folder(settings.model)
        return
    if settings.model == "classical" or settings.model in KNOWN_WEIGHTS:
        return
    if find_plugin(settings.model) is None:
        find_checkpoint(settings.model)


def _open_sam(settings: SegmentSettings, models_folder: Path | None) -> Segmenter:
    from sdclient.segment.sam import SamSegmenter, choose_device
    from sdclient.segment.weights import KNOWN_WEIGHTS, find_checkpoint, load_sam

    # Looked at first: reading gigabytes only to find the device missing would be unkind.
    device = choose_device(settings.device)
    path = find_checkpoint(settings.model, models_folder)
    settings.refuse_options(SAM_AND_ITS_OPTIONS)
    name, sam = load_sam(path, expected_type=settings.model if settings.model in KNOWN_WEIGHTS else None)
    return SamSegmenter(name, sam, device=device, half=settings.half, **settings.sam_options)


def _open_classical(device: str | None) -> Segmenter:
    from sdclient.segment.classical import ClassicalSegmenter

    if device not in (None, "cpu"):
        raise SegmentationError(f"the classical segmenter runs on the cpu, not on {device!r:.40}: leave the device out")
    return ClassicalSegmenter()


def as_prompted(segmenter: Segmenter) -> PromptedSegmenter:
    """Return a segmenter as one that can be asked for certain objects.

    Raises:
        SegmentationError: If it is none.
    """
    if not isinstance(segmenter, PromptedSegmenter):
        raise SegmentationError(
            f"the segmenter {segmenter.name} takes no boxes and points: name vit_b, vit_l, vit_h or a checkpoint of them"
        )
    return segmenter


def segment_image(
    segmenter: Segmenter, pixels: ImagePixels, settings: SegmentSettings, prompts: Sequence[Prompt] = ()
) -> list[SegmentedObject]:
    """Find the objects of an image and choose among them as `settings` say, largest first.

    What is transparent is looked at on white. Objects are cut to what can be seen of them; those of which nothing can be
    seen are left out.

    Args:
        segmenter: An open segmenter.
        pixels: uint8, shape (H, W, 3), RGB, or (H, W, 4), RGBA.
        settings: Which objects to keep.
        prompts: The objects to look for; none looks for all. What is asked for is mended, and kept in this order.

    Raises:
        SegmentationError: If `pixels` is no such array, the segmenter failed or takes no prompts, or a prompt lies
            outside the image.
    """
    return look_at_image(segmenter, pixels, settings, prompts).objects


@dataclass(frozen=True, slots=True)
class Segmented:
    """What was found in an image.

    Attributes:
        objects: Those that were chosen.
        unseen: How many others were left out because the image is wholly transparent where they are.
    """

    objects: list[SegmentedObject]
    unseen: int = 0


def look_at_image(
    segmenter: Segmenter, pixels: ImagePixels, settings: SegmentSettings, prompts: Sequence[Prompt] = ()
) -> Segmented:
    """Find and choose the objects of an image as `segment_image` does, and count those that cannot be seen.

    Raises:
        SegmentationError: As `segment_image` does.
    """
    check_pixels(pixels)
    image_rgb, visible_hw = see_on_white(pixels), visible_part(pixels)
    if not prompts:
        found = segmenter.segment(image_rgb)
        chosen = choose_objects(found, settings, visible_hw=visible_hw)
    else:
        found = _ask(as_prompted(segmenter), image_rgb, prompts)
        fill, drop = settings.fill_holes_px, settings.drop_islands_px
        mended = (mend_object(item, fill_holes_px=fill, drop_islands_px=drop, visible_hw=visible_hw) for item in found)
        chosen = [item for item in mended if item.area_px]
    if visible_hw is None:
        return Segmented(chosen)
    seen = (mend_object(item, visible_hw=visible_hw) for item in found if item.area_px)
    return Segmented(chosen, sum(item.area_px == 0 for item in seen))


def _ask(segmenter: PromptedSegmenter, image_rgb: ImageRGB, prompts: Sequence[Prompt]) -> list[SegmentedObject]:
    for number, prompt in enumerate(prompts, start=1):
        if not prompt.fits((image_rgb.shape[0], image_rgb.shape[1])):
            raise SegmentationError(
                f"prompt {number} ({prompt.to_json()!r:.80}) lies outside the image of {image_rgb.shape[1]} x "
                f"{image_rgb.shape[0]} px: give its place in pixels of this image"
            )
    return segmenter.segment_prompts(image_rgb, prompts)
