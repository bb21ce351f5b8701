"""A segmenter of your own: here, everything bright is an object.

In your package's pyproject.toml, and then ``pip install`` it::

    [project.entry-points."sdclient.segmenters"]
    bright = "my_package.bright:open_bright"

Then:  sdclient segment IN OUT --model bright --option above=240
"""

from sdclient.segment import ImageRGB, SegmentedObject, SegmentSettings


class BrightSegmenter:
    """Finds pixels that are bright in all three colours, and takes those that hang together for one object."""

    name, device = "bright", "cpu"

    def __init__(self, above: int) -> None:
        self.above = above

    def segment(self, image_rgb: ImageRGB) -> list[SegmentedObject]:
        """Return the objects of an image: uint8, shape (H, W, 3), RGB."""
        import cv2

        bright = (image_rgb.min(axis=2) > self.above).astype("uint8")
        count, labels = cv2.connectedComponents(bright)
        return [SegmentedObject.from_mask(labels == number, score=1.0) for number in range(1, count)]


def open_bright(settings: SegmentSettings) -> BrightSegmenter:
    """Open the segmenter: this is what the entry point names."""
    return BrightSegmenter(int(settings.option("above", "240")))
