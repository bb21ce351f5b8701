import io
from collections.abc import Callable

import pytest
from PIL import Image


@pytest.fixture
def png() -> Callable[[int, int], bytes]:
    def make(width: int = 64, height: int = 64) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (width, height), (20, 90, 40)).save(file, "PNG")
        return file.getvalue()

    return make
