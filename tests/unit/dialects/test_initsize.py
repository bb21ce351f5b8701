import io

import pytest
from PIL import Image

from sdclient.dialects.initsize import init_size
from sdclient.errors import PayloadError


def saved(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (70, 40), (200, 10, 10)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(saved("PNG"), id="png"),
        pytest.param(saved("JPEG"), id="jpeg"),
        pytest.param(saved("JPEG", progressive=True), id="progressive"),
        pytest.param(saved("JPEG", comment=b"x" * 3000), id="comment"),
        pytest.param(saved("JPEG").replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1), id="padded-marker"),
        pytest.param(saved("WEBP"), id="webp"),
    ],
)
def test_the_size_is_read_from_the_header(data: bytes) -> None:
    assert init_size(data) == (70, 40)


@pytest.mark.parametrize(
    "data",
    [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd8\x00\x00" * 9, saved("JPEG")[:20]],
    ids=["empty", "text", "png-stub", "jpeg-stub", "jpeg-noise", "jpeg-cut"],
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(PayloadError, match="init_image"):
        init_size(data)


def test_markers_that_stand_alone_are_passed_over() -> None:
    data = saved("JPEG")

    assert init_size(data[:2] + b"\xff\x01" + data[2:]) == (70, 40)
