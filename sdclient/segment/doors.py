"""The one door to each heavy package: imported when first used, and missing in words."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sdclient.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["require_cv2", "require_segment_anything", "require_torch", "require_transformers"]

_SAM_HINT = "pip install 'sdclient[sam]'"
_WORDS_HINT = "pip install 'sdclient[words]'"


def require_torch() -> ModuleType:
    """Import torch now, or say how to install it.

    Raises:
        MissingExtraError: If torch is not installed or does not load on this machine.
    """
    return _require("torch", "segmentation with Segment Anything", _SAM_HINT)


def require_segment_anything(submodule: str = "") -> ModuleType:
    """Import `segment_anything`, or one of its modules, or say how to install it.

    Args:
        submodule: Dotted name below the package, such as ``utils.amg``; empty for the package itself.

    Raises:
        MissingExtraError: If segment-anything, torch or torchvision is missing.
    """
    # Both are looked at first: segment-anything does not declare them, and its own error names neither the extra.
    require_torch()
    _require("torchvision", "segmentation with Segment Anything", _SAM_HINT)
    name = f"segment_anything.{submodule}" if submodule else "segment_anything"
    return _require(name, "segmentation with Segment Anything", _SAM_HINT)


def require_transformers() -> ModuleType:
    """Import transformers now, or say how to install it.

    Raises:
        MissingExtraError: If transformers or torch is not installed.
    """
    # transformers imports without torch, and fails later in words of its own.
    _require("torch", "cutting out by words", _WORDS_HINT)
    return _require("transformers", "cutting out by words", _WORDS_HINT)


def require_cv2() -> ModuleType:
    """Import OpenCV now, or say how to install it.

    Raises:
        MissingExtraError: If OpenCV is not installed or does not load on this machine.
    """
    return _require("cv2", "segmentation", "pip install opencv-python-headless")


def _require(module: str, purpose: str, hint: str) -> ModuleType:
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        # A package that is there but cannot load (a missing system library) needs its own words kept.
        found = "" if isinstance(exc, ModuleNotFoundError) else f" (it does not load: {str(exc)[:200]})"
        raise MissingExtraError(f"{purpose} needs {package}{found}: {hint}") from exc
