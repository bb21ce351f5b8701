"""Foreground told from background by what colours each has (OpenCV's GrabCut): for scenes that fill the frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdclient.segment.doors import require_cv2
from sdclient.segment.masks import MaskHW

__all__ = ["keep_alike"]

_LONG_SIDE_PX = 240
_ROUNDS = 4

# Gaussians that describe the colours of one side, in the numbers OpenCV keeps for them.
_MODEL_SHAPE = (1, 65)


def keep_alike(lab: NDArray[np.float32], foreground: MaskHW) -> MaskHW:
    """Return the foreground without what has rather the background's colours.

    Args:
        lab: float32, shape (H, W, 3), Lab, L from 0 to 100.
        foreground: bool, shape (H, W), a first guess; all that is outside it is taken for background.

    Returns:
        bool, shape (H, W), a part of `foreground`, all of it where nothing would be left.
    """
    cv2 = require_cv2()
    height_px, width_px = foreground.shape
    scale = min(_LONG_SIDE_PX / max(height_px, width_px), 1.0)
    size = (max(round(width_px * scale), 1), max(round(height_px * scale), 1))
    # Back to 8 bits, as GrabCut wants them: L from 0 to 255, the colour axes as they are.
    colours = np.asarray(np.rint(lab * np.array([255 / 100, 1, 1], dtype=np.float32)), dtype=np.uint8)
    small = cv2.resize(colours, size, interpolation=cv2.INTER_AREA)
    guess = cv2.resize(foreground.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    if not bool(guess.any()) or bool(guess.all()):
        return foreground
    sides = np.full(guess.shape, cv2.GC_PR_BGD, dtype=np.uint8)
    sides[guess > 0] = cv2.GC_PR_FGD
    # The colours are first grouped at random: the same image shall give the same objects.
    cv2.setRNGSeed(0)
    cv2.grabCut(small, sides, None, np.zeros(_MODEL_SHAPE), np.zeros(_MODEL_SHAPE), _ROUNDS, cv2.GC_INIT_WITH_MASK)
    is_foreground = np.asarray((sides == cv2.GC_FGD) | (sides == cv2.GC_PR_FGD), dtype=np.uint8)
    kept = foreground & (cv2.resize(is_foreground, (width_px, height_px), interpolation=cv2.INTER_NEAREST) > 0)
    return np.asarray(kept, dtype=np.bool_) if bool(kept.any()) else foreground
