"""Cutting out what words name: a detector finds boxes for each word, a mask model outlines what is in them.

Both are `transformers` models, given as one folder with a sub-folder for each, as `hf download` or `save_pretrained`
leaves them; which is which their ``config.json`` says::

    MODELS/grounding-dino-base/    config.json (model_type grounding-dino), model.safetensors, ...
    MODELS/sam-vit-huge/           config.json (model_type sam or sam_hq), model.safetensors, ...

This is a plug-in like any other (`segment.plugins`): `open_words` takes the settings and returns a segmenter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from sdclient.errors import SDClientError, SegmentationError
from sdclient.files import command_line
from sdclient.segment.doors import require_cv2, require_torch, require_transformers
from sdclient.segment.masks import MaskHW, fill_holes
from sdclient.segment.memory import is_out_of_memory
from sdclient.segment.objects import SegmentedObject
from sdclient.segment.pixels import ImageRGB, check_image
from sdclient.segment.sam import choose_device
from sdclient.segment.settings import SegmentSettings
from sdclient.segment.weights import KNOWN_WEIGHTS, models_folder

if TYPE_CHECKING:
    import torch

__all__ = ["Word", "WordSegmenter", "find_word_models", "open_words", "parse_word", "word_models_folder"]

_DETECTORS = frozenset({"grounding-dino", "mm-grounding-dino"})
_MASKERS = frozenset({"sam", "sam_hq"})

# How sure the detector must be of a box; hair, caps and clothes need less than whole people.
_THRESHOLD = 0.25

# Boxes outlined at once: each is a mask of the whole image for a moment.
_BOXES_AT_ONCE = 8

# Frayed edges are smoothed with an ellipse of this share of the image's long side: 10 px of 2048.
_SMOOTHING = 10 / 2048


@dataclass(frozen=True, slots=True)
class Word:
    """What to look for.

    Attributes:
        text: The word, or a few.
        threshold: How sure the detector must be of a box, 0 to 1.
    """

    text: str
    threshold: float = _THRESHOLD


def parse_word(text: str) -> Word:
    """Read ``hair`` or ``hair=0.2``, as `SegmentSettings.words` has checked them."""
    word, separator, threshold = text.partition("=")
    return Word(word.strip(), float(threshold) if separator else _THRESHOLD)


def open_words(settings: SegmentSettings) -> WordSegmenter:
    """Open the models for cutting out by words.

    Args:
        settings: ``model`` is the folder of both models, or its name in this user's cache.

    Raises:
        SegmentationError: If a model is missing or damaged, no word is given, or there is no such device.
        MissingExtraError: If transformers or torch is not installed.
    """
    if not settings.words:
        raise SegmentationError("cutting out by words: no word is given: say --words person,hair")
    require_transformers()
    device = choose_device(settings.device)
    detector, masker = find_word_models(settings.model)
    return WordSegmenter([parse_word(text) for text in settings.words], detector, masker, device=device)


def find_word_models(model: str, folder: Path | None = None) -> tuple[Path, Path]:
    """Return the folders of the detector and of the mask model.

    Args:
        model: The folder that holds both, by path, or by its name in `folder`.
        folder: Where models are kept; by default `weights.models_folder()`.

    Raises:
        SegmentationError: If one of them is not there.
    """
    home = word_models_folder(model, folder)
    kinds = {_model_type(config): config.parent for config in sorted(home.glob("*/config.json"), reverse=True)}
    found = [next((kinds[kind] for kind in sorted(wanted) if kind in kinds), None) for wanted in (_DETECTORS, _MASKERS)]
    if found[0] is None or found[1] is None:
        missing = "detector (grounding-dino)" if found[0] is None else "mask model (sam, sam_hq)"
        source, into = (
            ("IDEA-Research/grounding-dino-base", "detector") if found[0] is None else ("facebook/sam-vit-base", "sam")
        )
        raise SegmentationError(
            f"cutting out by words: no {missing} in {home}: download one into a folder of its own there, such as "
            f"`{command_line('hf', 'download', source, '--local-dir', home / into)}`, "
            f"and name it with {command_line('--model', home)}"
        )
    return found[0], found[1]


def word_models_folder(model: str, folder: Path | None = None) -> Path:
    """Return the folder that `model` means, which need not be there.

    Args:
        model: The folder of both models, by path, or by its name in `folder`.
        folder: Where models are kept; by default `weights.models_folder()`.

    Raises:
        SegmentationError: If it is plainly no folder, but a checkpoint or the model of another segmenter.
    """
    path = Path(model).expanduser()
    # A plan names the folder by its name alone: each machine keeps its own copy.
    home = next((one for one in (path, (folder or models_folder()) / path.name) if one.is_dir()), path)
    if not home.is_dir() and (model == "classical" or model in KNOWN_WEIGHTS or path.is_file()):
        raise SegmentationError(
            f"cutting out by words takes the folder of its two models, not {model!r:.80}: name it with --model, or leave "
            "the words out"
        )
    return home


def _model_type(config: Path) -> str:
    try:
        value: object = json.loads(config.read_bytes())
    except (OSError, ValueError):
        return ""
    return str(cast("dict[str, object]", value).get("model_type")) if isinstance(value, dict) else ""


class WordSegmenter:
    """Finds one object for each word: all that the word names, together.

    Args:
        words: What to look for.
        detector: Folder of the model that finds boxes.
        masker: Folder of the model that outlines what is in a box.
        device: ``cpu``, ``cuda``, ``mps``.

    Attributes:
        name: Always ``words``.
        device: Where it runs.

    Raises:
        SegmentationError: If a model cannot be loaded.
        MissingExtraError: If transformers or torch is not installed.
    """

    name = "words"

    def __init__(self, words: Sequence[Word], detector: Path, masker: Path, *, device: str = "cpu") -> None:
        transformers = require_transformers()
        self.device = device
        self._torch = require_torch()
        self._words = list(words)
        self._detector = _load(transformers.AutoModelForZeroShotObjectDetection, detector).to(device)
        self._read_words = _load(transformers.AutoProcessor, detector)
        self._masker = _load(transformers.AutoModelForMaskGeneration, masker).to(device)
        self._read_boxes = _load(transformers.AutoProcessor, masker)

    def segment(self, image_rgb: ImageRGB) -> list[SegmentedObject]:
        """Find what the words name.

        Args:
            image_rgb: uint8, shape (H, W, 3), RGB.

        Returns:
            One object for each word that names anything, labelled with it. `score` is the detector's for its surest box.

        Raises:
            SegmentationError: If `image_rgb` is no such array, or a model fails.
        """
        check_image(image_rgb)
        try:
            with self._torch.no_grad():
                found = [self._find(image_rgb, word) for word in self._words]
        except SDClientError:
            raise
        except (RuntimeError, MemoryError) as exc:
            hint = "try --device cpu, or smaller images" if is_out_of_memory(exc) else "try --device cpu"
            raise SegmentationError(f"cutting out by words failed on {self.device}: {exc!s:.200}: {hint}") from exc
        return [item for item in found if item is not None and item.area_px]

    def _find(self, image_rgb: ImageRGB, word: Word) -> SegmentedObject | None:
        boxes, scores = self._boxes(image_rgb, word)
        if not len(boxes):
            return None
        mask = np.zeros(image_rgb.shape[:2], dtype=np.bool_)
        for start in range(0, len(boxes), _BOXES_AT_ONCE):
            for one in self._masks(image_rgb, boxes[start : start + _BOXES_AT_ONCE]):
                mask |= one
        return SegmentedObject.from_mask(_smooth(mask), score=float(scores.max()), label=word.text)

    def _boxes(self, image_rgb: ImageRGB, word: Word) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return boxes, shape (N, 4), corner to corner in pixels, and how sure the detector is of each, shape (N,)."""
        # The detector was trained on lower-case captions that end in a full stop.
        inputs = self._read_words(images=image_rgb, text=f"{word.text.lower()}.", return_tensors="pt")
        output = self._detector(**self._moved(inputs))
        scores = output.logits[0].sigmoid().max(dim=-1).values.cpu().double().numpy()
        boxes = output.pred_boxes[0].cpu().double().numpy()[scores > word.threshold]
        height_px, width_px = image_rgb.shape[:2]
        centre, half = boxes[:, :2], boxes[:, 2:] / 2
        corners = np.concatenate([centre - half, centre + half], axis=1) * np.array([width_px, height_px] * 2)
        limit = np.array([width_px, height_px] * 2, dtype=np.float64)
        return np.minimum(np.maximum(corners, 0), limit), scores[scores > word.threshold]

    def _masks(self, image_rgb: ImageRGB, boxes: NDArray[np.float64]) -> Iterator[MaskHW]:
        inputs = self._read_boxes(images=image_rgb, input_boxes=[boxes.tolist()], return_tensors="pt")
        output = self._masker(**self._moved(inputs), multimask_output=False)
        sizes = (inputs["original_sizes"].cpu(), inputs["reshaped_input_sizes"].cpu())
        whole = self._read_boxes.image_processor.post_process_masks(output.pred_masks.cpu(), *sizes)[0]
        for one in whole[:, 0]:
            yield np.asarray(one.numpy() > 0, dtype=np.bool_)

    def _moved(self, inputs: object) -> dict[str, torch.Tensor]:
        """Bring inputs to the device, in 32-bit floats: Apple's GPUs have no longer ones."""
        named = cast("dict[str, torch.Tensor]", inputs)
        double = self._torch.float64
        return {
            name: (value.float() if value.dtype == double else value).to(self.device) for name, value in named.items()
        }


def _load(kind: Any, folder: Path) -> Any:  # transformers' factories, which are typed by their results alone
    """Load a model or processor from a folder: nothing is fetched, no code of the folder runs, no pickle is read."""
    options = {} if kind.__name__ == "AutoProcessor" else {"use_safetensors": True}
    talk = require_transformers().utils.logging
    shows_bars = talk.is_progress_bar_enabled()
    # A library has nothing to say on a terminal.
    talk.disable_progress_bar()
    try:
        loaded = kind.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False, **options)
    # Errors come from several packages, some with no base but this.
    except Exception as exc:
        lines = str(exc).strip().splitlines() or [type(exc).__name__]
        raise SegmentationError(
            f"{folder} does not load: {lines[0]:.200}: download it again, with its safetensors"
        ) from exc
    finally:
        if shows_bars:
            talk.enable_progress_bar()
    return loaded.eval() if hasattr(loaded, "eval") else loaded


def _smooth(mask_hw: MaskHW) -> MaskHW:
    """Fill the holes that joined boxes leave, and smooth frayed edges."""
    cv2 = require_cv2()
    filled = fill_holes(mask_hw, mask_hw.size)
    side = round(max(mask_hw.shape) * _SMOOTHING)
    if side <= 1:
        return filled
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    opened = cv2.morphologyEx(filled.astype(np.uint8), cv2.MORPH_OPEN, ellipse)
    return np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, ellipse) > 0, dtype=np.bool_)
