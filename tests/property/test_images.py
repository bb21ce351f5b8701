"""Laws of images: decoding undoes encoding, damage is noticed, metadata never touches pixels, nothing is stretched."""

from __future__ import annotations

import base64
import io

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from sdclient.errors import CodecError
from sdclient.images import (
    FitMode,
    ImageFacts,
    decode_base64,
    encode_base64,
    fit_image,
    inspect_image,
    splice_text,
    unfit_image,
)
from sdclient.infotext import read_infotext


def image_file(kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.frombytes("RGB", (9, 7), bytes(range(189))).save(file, kind, **options)
    return file.getvalue()


def outcome_of(data: bytes) -> ImageFacts | CodecError:
    """Inspect an image; any error but ours goes through and fails the test."""
    try:
        return inspect_image(data)
    except CodecError as error:
        return error


FILES = {kind: image_file(kind) for kind in ("PNG", "JPEG", "WEBP")} | {"STORED": image_file("PNG", compress_level=0)}
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff\ufffe"), min_size=1)
lengths = st.integers(1, 300)


@given(st.binary(min_size=1))
def test_decoding_undoes_encoding(data: bytes) -> None:
    assert decode_base64(encode_base64(data)) == data


@given(st.text(alphabet="AZaz09+/=\n -_ö", max_size=12) | st.text(max_size=12))
def test_a_text_is_decoded_only_if_it_is_what_an_encoder_writes(text: str) -> None:
    try:
        data = decode_base64(text)
    except CodecError:
        return

    assert base64.b64encode(data).decode() == text


@pytest.mark.parametrize("kind", FILES)
@given(st.data())
def test_a_file_cut_anywhere_is_refused(kind: str, data: st.DataObject) -> None:
    whole = FILES[kind]

    with pytest.raises(CodecError):
        inspect_image(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.sampled_from(["PNG", "STORED"]), st.data())
def test_a_png_with_a_changed_byte_never_passes_for_other_pixels(kind: str, data: st.DataObject) -> None:
    whole = FILES[kind]
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))

    outcome = outcome_of(bytes(damaged))

    assert isinstance(outcome, CodecError) or outcome.pixels_sha256 == inspect_image(whole).pixels_sha256


@given(st.sampled_from(sorted(FILES)), st.data())
def test_damage_of_any_kind_raises_nothing_but_our_errors(kind: str, data: st.DataObject) -> None:
    damaged = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))

    assert len(str(outcome_of(bytes(damaged)))) < 600


@given(
    st.binary(max_size=64), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"RIFF"])
)
def test_no_bytes_raise_anything_but_our_errors(data: bytes, start: bytes) -> None:
    assert len(str(outcome_of(start + data))) < 600


@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), texts)
def test_a_spliced_text_is_found_again_and_pixels_stay(kind: str, text: str) -> None:
    text = f"{text}\nSteps: 20, Seed: 7"

    spliced = splice_text(FILES[kind], text)

    assert read_infotext(spliced) == text
    assert inspect_image(spliced).pixels_sha256 == inspect_image(FILES[kind]).pixels_sha256


@given(lengths, lengths, lengths, lengths, st.sampled_from(["pad", "crop"]))
def test_fitting_reaches_the_size_by_one_factor(width: int, height: int, wide: int, high: int, fit: FitMode) -> None:
    fitted, box = fit_image(Image.new("L", (width, height)), (wide, high), fit=fit)

    content_wide, content_high = box.content_size
    assert fitted.size == box.size == (wide, high)
    # Rounded to whole pixels, and at least one, both sides were scaled alike.
    factor = (min if fit == "pad" else max)(wide / width, high / height)
    assert abs(content_wide - max(1, width * factor)) <= 1
    assert abs(content_high - max(1, height * factor)) <= 1


@given(lengths, lengths, st.integers(0, 80), st.integers(0, 80), st.integers(1, 4))
def test_unfitting_gives_back_what_was_padded(width: int, height: int, more: int, above: int, factor: int) -> None:
    assume(width * height * factor * factor < 200_000)
    source = Image.frombytes("L", (width, height), bytes(index % 251 for index in range(width * height)))

    fitted, box = fit_image(source, (width + more, height + above), fit="pad", content_size=source.size)
    enlarged = fitted.resize((fitted.width * factor, fitted.height * factor), Image.Resampling.NEAREST)
    result = unfit_image(enlarged, box)

    assert result.size == (width * factor, height * factor)
    assert result.resize(source.size, Image.Resampling.NEAREST).tobytes() == source.tobytes()
