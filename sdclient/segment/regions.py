"""Regions of even colour in a small image: grown from a grid of seeds, then joined across their weakest borders."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdclient.segment.doors import require_cv2

__all__ = ["Labels", "join_regions", "region_means", "seed_regions"]

# int32, shape (H, W), 0 to N - 1: which region a pixel belongs to.
Labels = NDArray[np.int32]

# How far on either side of a border its contrast is measured, in pixels: past the blur of the edge itself.
_REACH_PX = 2

# Stronger differences than this many times the limit count no more: where two regions meet in a few open places between
# things, the outlines of the things must not count as theirs.
_FULL_STRENGTH = 2.0


def seed_regions(smooth_lab: NDArray[np.uint8], cell_px: int) -> Labels:
    """Cut a smoothed image into small regions, about one per cell of a grid, that stop at edges.

    Args:
        smooth_lab: uint8, shape (H, W, 3), OpenCV's 8-bit Lab.
        cell_px: Side of a grid cell, at least 3.

    Returns:
        int32, shape (H, W), numbered from 0 without gaps.
    """
    cv2 = require_cv2()
    height_px, width_px = smooth_lab.shape[:2]
    markers = np.zeros((height_px, width_px), dtype=np.int32)
    ys, xs = _calm_points(smooth_lab, cell_px)
    markers[ys, xs] = np.arange(1, ys.size + 1, dtype=np.int32)
    cv2.watershed(smooth_lab, markers)
    # The watershed leaves a line of -1 between regions and along the frame: each such pixel takes a neighbour's number.
    grown = markers.astype(np.float32)
    while bool((grown < 1).any()):
        wider = cv2.dilate(np.maximum(grown, 0), np.ones((3, 3), np.uint8))
        grown = np.where(grown < 1, wider, grown)
    _, labels = np.unique(grown, return_inverse=True)
    return np.reshape(labels, (height_px, width_px)).astype(np.int32)


def _calm_points(smooth_lab: NDArray[np.uint8], cell_px: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row and column of the pixel with the least gradient in each grid cell."""
    cv2 = require_cv2()
    height_px, width_px = smooth_lab.shape[:2]
    light = np.sum(smooth_lab, axis=2, dtype=np.float32)
    slope: NDArray[np.float32] = cv2.magnitude(cv2.Scharr(light, cv2.CV_32F, 1, 0), cv2.Scharr(light, cv2.CV_32F, 0, 1))
    rows, columns = -(-height_px // cell_px), -(-width_px // cell_px)
    padded = np.full((rows * cell_px, columns * cell_px), np.inf, dtype=np.float32)
    padded[:height_px, :width_px] = slope
    cells = np.reshape(padded, (rows, cell_px, columns, cell_px))
    best = np.reshape(np.transpose(cells, (0, 2, 1, 3)), (rows * columns, cell_px * cell_px)).argmin(axis=1)
    row, column = np.divmod(np.arange(rows * columns, dtype=np.intp), columns)
    return row * cell_px + best // cell_px, column * cell_px + best % cell_px


def region_means(labels: Labels, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each region's mean colour, shape (N, C), of `values`, shape (H, W, C)."""
    flat = labels.ravel()
    sizes = np.bincount(flat)
    sums = [np.bincount(flat, weights=values[..., channel].ravel()) for channel in range(values.shape[2])]
    return np.stack([total / sizes for total in sums], axis=1).astype(np.float32)


def join_regions(labels: Labels, lab: NDArray[np.float32], limit: float, small_px: int) -> Labels:
    """Join neighbouring regions, weakest border first, until every border is stronger than a limit.

    A border's strength is the mean colour difference across it, measured at the border and not between the regions'
    means: a sky that slowly changes its colour is one region.

    Args:
        labels: Small regions, from `seed_regions`.
        lab: float32, shape (H, W, 3), Lab, L from 0 to 100.
        limit: Borders weaker than this colour difference vanish.
        small_px: Regions below this many pixels are joined across stronger borders too, the smaller the easier.

    Returns:
        int32, shape (H, W), numbered from 0 without gaps.
    """
    borders = _Borders.between(labels, lab, _FULL_STRENGTH * limit)
    sizes = np.bincount(labels.ravel()).tolist()
    parents = borders.join(sizes, limit, small_px)
    _, joined = np.unique(parents[labels], return_inverse=True)
    return np.reshape(joined, labels.shape).astype(np.int32)


@dataclass(slots=True)
class _Borders:
    """Who borders on whom, and how strongly.

    Attributes:
        links: For each region, its neighbours, each with the sum of differences along the border and its length in px.
    """

    links: list[dict[int, tuple[float, int]]]

    @classmethod
    def between(cls, labels: Labels, lab: NDArray[np.float32], most: float) -> _Borders:
        count = int(labels.max()) + 1
        keys, strengths = zip(*(_crossings(labels, lab, axis, count) for axis in (0, 1)), strict=True)
        pairs, inverse = np.unique(np.concatenate(keys), return_inverse=True)
        sums = np.bincount(inverse, weights=np.minimum(np.concatenate(strengths), most)).tolist()
        lengths = np.bincount(inverse).tolist()
        links: list[dict[int, tuple[float, int]]] = [{} for _ in range(count)]
        for pair, total, length in zip(pairs.tolist(), sums, lengths, strict=False):
            one, other = divmod(pair, count)
            links[one][other] = links[other][one] = (total, length)
        return cls(links)

    def join(self, sizes: list[int], limit: float, small_px: int) -> NDArray[np.int32]:
        """Join in place; return for each region the number of the one it ended in."""
        parents = list(range(len(sizes)))
        heap = [
            (self._cost(one, other, sizes, small_px), one, other)
            for one, row in enumerate(self.links)
            for other in row
            if one < other
        ]
        heapq.heapify(heap)
        while heap and heap[0][0] < limit:
            cost, one, other = heapq.heappop(heap)
            # Entries are not taken out of the heap when a border changes; those out of date are passed over here.
            if other not in self.links[one] or cost != self._cost(one, other, sizes, small_px):
                continue
            self._absorb(one, other)
            parents[other] = one
            sizes[one] += sizes[other]
            for third in self.links[one]:
                pair = (one, third) if one < third else (third, one)
                heapq.heappush(heap, (self._cost(*pair, sizes, small_px), *pair))
        return np.array([_root(parents, index) for index in range(len(parents))], dtype=np.int32)

    def _cost(self, one: int, other: int, sizes: list[int], small_px: int) -> float:
        total, length = self.links[one][other]
        smaller = min(sizes[one], sizes[other])
        ease: float = min(1.0, smaller / small_px) ** 0.5
        return total / length * ease

    def _absorb(self, one: int, other: int) -> None:
        del self.links[one][other], self.links[other][one]
        for third, (total, length) in self.links[other].items():
            del self.links[third][other]
            old_total, old_length = self.links[one].get(third, (0.0, 0))
            merged = (old_total + total, old_length + length)
            self.links[one][third] = self.links[third][one] = merged
        self.links[other].clear()


def _crossings(
    labels: Labels, lab: NDArray[np.float32], axis: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return, for each pixel pair across a border along one axis, the two regions as one key, and the difference."""
    across = np.moveaxis(labels, axis, 0)
    colours = np.moveaxis(lab, axis, 0)
    here, there = np.nonzero(across[1:] != across[:-1])
    last = across.shape[0] - 1
    near, far = np.maximum(here - _REACH_PX, 0), np.minimum(here + 1 + _REACH_PX, last)
    ends = _distance(colours[far, there], colours[near, there])
    # A line between two even areas parts them although both have one colour.
    lines = [
        np.minimum(
            _distance(colours[at, there], colours[near, there]), _distance(colours[at, there], colours[far, there])
        )
        for at in (np.maximum(here - 1, 0), here, here + 1, np.minimum(here + 2, last))
    ]
    difference = np.maximum(ends, np.max(lines, axis=0))
    one = across[here, there].astype(np.int64)
    other = across[here + 1, there].astype(np.int64)
    return np.minimum(one, other) * count + np.maximum(one, other), difference.astype(np.float32)


def _distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.sqrt(np.square(one - other).sum(axis=1)), dtype=np.float32)


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index
