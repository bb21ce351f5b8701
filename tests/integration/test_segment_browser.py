"""Our PNG files in a browser: the pixels that Pillow and OpenCV read."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from sdclient.segment import ClassicalSegmenter, SegmentSettings, write_cutouts

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")

_READ_PIXELS = """async (address) => {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  let text = "";
  for (const value of data) text += String.fromCharCode(value);
  return [canvas.width, canvas.height, btoa(text)];
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running.new_page()
        running.close()


def in_browser(page: Page, path: Path) -> np.ndarray:
    address = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    width, height, text = page.evaluate(_READ_PIXELS, address)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


def test_a_browser_shows_the_pixels_that_pillow_and_opencv_read(page: Page, tmp_path: Path) -> None:
    rows, columns = np.mgrid[:150, :213]
    image = np.stack([200 + rows / 8, 205 + columns / 9, 220 - rows / 9], axis=2).astype(np.uint8)
    image[40:110, 25:90] = (150, 30, 30)
    image[60:150, 130:190] = (20, 60, 140)
    settings = SegmentSettings(outputs=("cutout", "crop", "mask"), cover=True, padding_px=5)
    objects = ClassicalSegmenter().segment(image)

    written = write_cutouts(image, objects, tmp_path, "fox", settings=settings)

    shown = {file.path.name: in_browser(page, file.path) for file in written if file.path.suffix == ".png"}
    assert len(shown) == 3 * len(objects) + 1 == 7
    for name, pixels in shown.items():
        pillow = np.array(Image.open(tmp_path / name).convert("RGBA"))
        opencv = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(pixels, pillow), name
        if opencv.ndim == 2:
            assert np.array_equal(opencv, pillow[..., 0]), name
        else:
            assert np.array_equal(cv2.cvtColor(opencv, cv2.COLOR_BGRA2RGBA), pillow), name
