"""Whether two images show the same pixels, and if not, by how much they differ."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from sdclient.images import open_rgb


@dataclass(frozen=True, slots=True)
class PixelComparison:
    """How two images' pixels compare, as upright RGB with 8 bits a colour.

    Attributes:
        size_a: Width and height of the first image in pixels.
        size_b: Of the second.
        differing_percent: Share of the pixels in which any colour differs, 0 to 100; None where the sizes differ.
        mean_difference: Mean over all colours of all pixels, 0 to 255; None where the sizes differ.
        max_difference: The largest difference of one colour, 0 to 255; None where the sizes differ.
        psnr_db: Peak signal-to-noise ratio in decibels; None where the images are equal or the sizes differ.
    """

    size_a: tuple[int, int]
    size_b: tuple[int, int]
    differing_percent: float | None = None
    mean_difference: float | None = None
    max_difference: int | None = None
    psnr_db: float | None = None

    @property
    def is_equal(self) -> bool:
        """True where every pixel is the same."""
        return self.max_difference == 0

    def to_json(self) -> dict[str, object]:
        """Return the figures by name."""
        return {"equal": self.is_equal, **asdict(self)}

    def __str__(self) -> str:
        if self.is_equal:
            return "the pixels are equal"
        if self.differing_percent is None:
            return f"the sizes differ: {_size(self.size_a)} and {_size(self.size_b)}"
        return (
            f"{self.differing_percent:.3g} % of the pixels differ, by {self.mean_difference:.3g} of 255 on average over all "
            f"and by {self.max_difference} at most; PSNR {self.psnr_db:.1f} dB ({_words(self.psnr_db or 0.0)})"
        )


def compare_pixels(data_a: bytes, data_b: bytes) -> PixelComparison:
    """Compare two image files by what they show; metadata and compression make no difference.

    Raises:
        CodecError: If one of them is no image.
    """
    import numpy as np

    one, two = open_rgb(data_a, what="the first image"), open_rgb(data_b, what="the second image")
    if one.size != two.size:
        return PixelComparison(one.size, two.size)
    difference = np.abs(np.asarray(one, dtype=np.int16) - np.asarray(two, dtype=np.int16))
    square = float(np.mean(np.square(difference, dtype=np.float64)))
    return PixelComparison(
        size_a=one.size,
        size_b=two.size,
        differing_percent=100 * float(np.mean(difference.any(axis=2))),
        mean_difference=float(difference.mean()),
        max_difference=int(difference.max()),
        psnr_db=10 * math.log10(255**2 / square) if square else None,
    )


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _words(psnr_db: float) -> str:
    for least, words in ((45, "hardly to be seen"), (30, "the same image, not exactly"), (20, "alike")):
        if psnr_db >= least:
            return words
    return "another image"
