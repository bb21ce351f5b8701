"""Segment Anything's weights: which files there are, where they lie, and reading one without trusting it."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sdclient.errors import SegmentationError
from sdclient.segment.doors import require_segment_anything, require_torch
from sdclient.segment.memory import is_out_of_memory

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["KNOWN_WEIGHTS", "KnownWeights", "find_checkpoint", "load_sam", "model_type_of", "models_folder"]

_BLOCK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """A checkpoint that Segment Anything's authors published.

    Attributes:
        model_type: ``vit_b``, ``vit_l`` or ``vit_h``.
        file_name: Its name, as published.
        sha256: Of the whole file, in hexadecimal.
        size_bytes: Of the whole file.
    """

    model_type: str
    file_name: str
    sha256: str
    size_bytes: int

    @property
    def url(self) -> str:
        """Where its authors publish it."""
        return f"https://dl.fbaipublicfiles.com/segment_anything/{self.file_name}"


KNOWN_WEIGHTS: Mapping[str, KnownWeights] = {
    known.model_type: known
    for known in (
        KnownWeights(
            "vit_b",
            "sam_vit_b_01ec64.pth",
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            375_042_383,
        ),
        KnownWeights(
            "vit_l",
            "sam_vit_l_0b3195.pth",
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
            1_249_524_607,
        ),
        KnownWeights(
            "vit_h",
            "sam_vit_h_4b8939.pth",
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            2_564_550_879,
        ),
    )
}

# The width of the image encoder tells the models apart.
_TYPES_BY_WIDTH = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
_WIDTH_KEY = "image_encoder.pos_embed"


def models_folder() -> Path:
    """Return the folder in this user's cache that holds weights; it need not exist."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("sdclient")) / "models"


def find_checkpoint(model: str, folder: Path | None = None) -> Path:
    """Find the weights file that `model` means.

    Args:
        model: ``vit_b``, ``vit_l``, ``vit_h``, the path of a checkpoint, or the name of one in `folder`.
        folder: Where weights are kept; by default `models_folder()`.

    Returns:
        A file that exists. One found by model name has the published content.

    Raises:
        SegmentationError: If there is no such file, or a published one is damaged.
    """
    folder = folder or models_folder()
    known = KNOWN_WEIGHTS.get(model)
    if known is None:
        return _find_file(model, folder)
    path = folder / known.file_name
    if not path.is_file():
        raise SegmentationError(
            f"the weights of {model} are not on this machine: `sdclient segment` fetches them; or put {known.file_name} "
            f"({known.size_bytes / 1e6:.0f} MB, sha256 {known.sha256[:12]}..., published at {known.url}) "
            f"into {folder}, or name a checkpoint file, or use the model 'classical', which needs none"
        )
    found = _sha256_of(path)
    if found != known.sha256:
        raise SegmentationError(
            f"{path} is not the published {known.file_name}: its sha256 is {found[:12]}..., "
            f"not {known.sha256[:12]}...: remove it, and `sdclient segment` fetches it again; "
            f"to use other weights, name the file instead of {model}"
        )
    return path


def _find_file(model: str, folder: Path) -> Path:
    path = Path(model).expanduser()
    # A plan names a checkpoint by its file name alone: each machine keeps its own copy.
    for candidate in (path, folder / path.name):
        if candidate.is_file():
            _refuse_damaged(candidate)
            return candidate
    problem = "it is a folder" if path.is_dir() else "there is no such file"
    raise SegmentationError(
        f"segmentation model {model!r:.200}: {problem}, here or in {folder}: "
        f"name classical, {', '.join(KNOWN_WEIGHTS)}, or the path of a checkpoint"
    )


def _refuse_damaged(path: Path) -> None:
    """Refuse a checkpoint, which is an archive, of which a part does not match its checksum: torch does not look."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as exc:
        raise SegmentationError(f"{path} is damaged ({exc!s:.80}): download or copy it again") from exc
    except OSError as exc:
        raise SegmentationError(f"cannot read {path}: {exc.strerror}: check the file and its rights") from exc
    if damaged is not None:
        raise SegmentationError(
            f"{path} is damaged: {damaged:.80} in it does not match its checksum: download or copy it again"
        )


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as exc:
        raise SegmentationError(f"cannot read {path}: {exc.strerror}: check the file and its rights") from exc
    return digest.hexdigest()


def load_sam(path: Path, *, expected_type: str | None = None) -> tuple[str, torch.nn.Module]:
    """Read a checkpoint and build its model, on the CPU, ready for use.

    Only tensors are read: a file that holds program code is refused before any of it runs.

    Args:
        path: A checkpoint, as published or fine-tuned from it.
        expected_type: Refuse a checkpoint of any other model type; None takes what the file holds.

    Returns:
        The model type (``vit_b``, ``vit_l``, ``vit_h``) and the model.

    Raises:
        SegmentationError: If the file is missing, damaged, holds something else, or is of another type.
        MissingExtraError: If torch or segment-anything is not installed.
    """
    registry = require_segment_anything().sam_model_registry
    state = _read_state(path)
    model_type = model_type_of(state, path)
    if expected_type not in (None, model_type):
        raise SegmentationError(
            f"{path} holds weights of {model_type}, not of {expected_type}: name the model {model_type}, or another file"
        )
    try:
        sam: torch.nn.Module = registry[model_type](checkpoint=None)
        sam.load_state_dict(state)
    except (RuntimeError, MemoryError) as exc:
        if is_out_of_memory(exc):
            raise _too_little_memory(path) from exc
        # Under a headline torch lists what is wrong, kind by kind.
        listed = str(exc).strip().partition("\n")[2].strip() or str(exc)
        raise SegmentationError(
            f"{path} does not fit {model_type}: {listed:.100}: it is damaged, or made for another program"
        ) from exc
    # Answers only, no training: without gradients a model takes half the memory.
    return model_type, sam.requires_grad_(requires_grad=False).eval()


def model_type_of(state: Mapping[str, torch.Tensor], path: Path) -> str:
    """Tell from a checkpoint's shapes which model it belongs to.

    Args:
        state: Names and tensors.
        path: The file, for the message.

    Raises:
        SegmentationError: If it belongs to none of them.
    """
    position = state.get(_WIDTH_KEY)
    width = position.shape[-1] if position is not None and position.ndim else 0
    if width not in _TYPES_BY_WIDTH:
        seen = f"its image encoder is {width} wide" if width else f"it has no {_WIDTH_KEY}"
        raise SegmentationError(
            f"{path} holds no weights of Segment Anything's {', '.join(KNOWN_WEIGHTS)}: {seen}: "
            f"use a published checkpoint such as {KNOWN_WEIGHTS['vit_b'].file_name}"
        )
    return _TYPES_BY_WIDTH[width]


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    torch = require_torch()
    import pickle

    try:
        with warnings.catch_warnings():
            # Remarks about old or odd files are for those who wrote them; what cannot be read is refused below.
            warnings.simplefilter("ignore")
            loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as exc:
        raise SegmentationError(f"there is no file {path}: check the path of the checkpoint") from exc
    except pickle.UnpicklingError as exc:
        raise SegmentationError(
            f"{path} is no plain weights file, or holds program code, which is never run; "
            "give a checkpoint of Segment Anything, or say vit_b, or classical for none"
        ) from exc
    except (RuntimeError, EOFError, ValueError, LookupError, OSError, AttributeError, MemoryError) as exc:
        if is_out_of_memory(exc):
            raise _too_little_memory(path) from exc
        raise SegmentationError(
            f"{path} cannot be read as weights: {_first_sentence(exc)}: download it again, or give another file"
        ) from exc
    tensors: dict[str, Tensor] = cast("dict[str, Tensor]", loaded) if isinstance(loaded, dict) else {}
    if not tensors or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise SegmentationError(
            f"{path} holds no plain table of tensors: use a published checkpoint, or one saved alike"
        )
    return tensors


def _too_little_memory(path: Path) -> SegmentationError:
    return SegmentationError(f"{path}: too little memory to load it: close other programs, or take a smaller model")


def _first_sentence(exc: BaseException) -> str:
    # What torch adds is about its own insides, and what pickle's reader trips over may be a bare key, such as 101.
    sentence = _first_line(exc).partition(". ")[0]
    return sentence if " " in sentence else "what it holds is of another kind, or cut short"


def _first_line(exc: BaseException) -> str:
    lines = str(exc).strip().splitlines()
    return (lines[0] if lines else type(exc).__name__)[:200]
