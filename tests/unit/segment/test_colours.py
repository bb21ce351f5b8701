"""Foreground and background told apart by their colours."""

from __future__ import annotations

import numpy as np

from sdclient.segment import ClassicalSegmenter, MaskHW
from sdclient.segment.colours import keep_alike

SIZE_HW = (300, 450)


def lab_scene() -> tuple[np.ndarray, MaskHW]:
    """A red square on grainy grey, as Lab, and where the square is."""
    rng = np.random.default_rng(4)
    lab = np.zeros((*SIZE_HW, 3), np.float32)
    lab[..., 0] = 60 + rng.normal(0, 6, SIZE_HW)
    lab[..., 1:] = 128
    square = np.zeros(SIZE_HW, np.bool_)
    square[60:240, 150:330] = True
    lab[square] = (45, 190, 165)
    return lab, square


def test_what_has_the_colours_of_the_background_is_taken_out_of_a_first_guess() -> None:
    lab, square = lab_scene()
    guess = square.copy()
    guess[:, 100:200] = True

    kept = keep_alike(lab, guess)

    assert not (kept & ~guess).any()
    assert (kept & square).sum() > 0.98 * square.sum()
    assert (kept & ~square).sum() < 0.02 * square.sum()


def test_a_guess_without_a_background_or_of_nothing_stays_as_it_is() -> None:
    lab, _ = lab_scene()
    everything, nothing = np.ones(SIZE_HW, np.bool_), np.zeros(SIZE_HW, np.bool_)

    assert keep_alike(lab, everything).all()
    assert not keep_alike(lab, nothing).any()


def test_the_same_guess_is_always_answered_alike() -> None:
    lab, square = lab_scene()
    guess = square.copy()
    guess[:100] = True

    first, again = keep_alike(lab, guess), keep_alike(lab, guess)

    assert np.array_equal(first, again)


def test_a_thing_that_fills_most_of_a_grainy_ground_is_cut_out_whole() -> None:
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:400, :600]
    grain = np.sin(rows / 3 + 4 * np.sin(columns / 90)) * 22 + rng.normal(0, 6, rows.shape)
    image = np.array([170, 120, 80]) + grain[..., np.newaxis] * np.array([1, 0.8, 0.6])
    saucer = ((columns - 300) / 250) ** 2 + ((rows - 200) / 180) ** 2 < 1
    cup = ((columns - 300) / 110) ** 2 + ((rows - 170) / 90) ** 2 < 1
    image[saucer], image[cup] = (150, 10, 20), (235, 230, 220)

    found = ClassicalSegmenter().segment(image.clip(0, 255).astype(np.uint8))

    assert len(found) == 1
    mask = found[0].mask_hw
    assert (mask & saucer).sum() > 0.95 * (mask | saucer).sum()
