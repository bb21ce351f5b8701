"""Laws of the `parameters` text: reading undoes writing, and no bytes or text can make reading fail."""

from __future__ import annotations

import io

from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from sdclient.images import splice_text
from sdclient.infotext import Infotext, format_infotext, parse_infotext, read_infotext
from sdclient.infotext.exif import decode_user_comment, encode_user_comment


def image_file(kind: str) -> bytes:
    file = io.BytesIO()
    Image.frombytes("RGB", (9, 7), bytes(range(189))).save(file, kind)
    return file.getvalue()


# What a prompt cannot say: white space around it, "\r", and a line that begins the negative prompt.
prompts = st.text(alphabet=st.characters(exclude_characters="\r")).filter(
    lambda text: (
        text == text.strip() and not any(line.lstrip().startswith("Negative prompt:") for line in text.split("\n"))
    )
)
names = st.from_regex(r"\w[\w \-/]{0,12}[\w\-/]", fullmatch=True)
values = st.text(max_size=30) | st.sampled_from(['a: b, c: "d"', "[7, 8]", "{", '"', "\\", "http://x", " x ", "1.5"])
settings_of_a_text = st.dictionaries(names, values, max_size=6).map(lambda found: {"Steps": "20", **found})


@given(prompts, prompts, settings_of_a_text)
def test_reading_undoes_writing(prompt: str, negative: str, fields: dict[str, str]) -> None:
    info = Infotext(prompt, negative, fields)

    assert parse_infotext(format_infotext(info)) == info


@given(prompts, prompts)
def test_reading_undoes_writing_without_settings_where_nothing_looks_like_them(prompt: str, negative: str) -> None:
    assume(":" not in prompt + negative)
    info = Infotext(prompt, negative)

    assert parse_infotext(format_infotext(info)) == info


@given(
    st.text() | st.lists(st.sampled_from(["ab", ":", ",", '"', "[", "{", "\n", "Steps", " ", "]", "\\"])).map("".join)
)
def test_any_text_can_be_read_and_reading_is_stable(text: str) -> None:
    info = parse_infotext(text)

    assert all(len(name) >= 2 for name in info.fields)
    assert info.prompt == info.prompt.strip()


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1", b"RIFF\x40\0\0\0WEBPEXIF"]),
)
def test_no_bytes_make_finding_a_text_fail(data: bytes, start: bytes) -> None:
    found = read_infotext(start + data)

    assert found is None or isinstance(found, str)


@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.data())
def test_no_damage_makes_finding_a_text_fail(kind: str, data: st.DataObject) -> None:
    file = splice_text(image_file(kind), "fox\nSteps: 1, Seed: 2, Size: 3x4")
    cut = data.draw(st.integers(0, len(file)))
    place = data.draw(st.integers(0, len(file) - 1))
    damaged = bytearray(file)
    damaged[place] ^= data.draw(st.integers(1, 255))

    results = [read_infotext(file[:cut]), read_infotext(bytes(damaged))]

    assert all(found is None or isinstance(found, str) for found in results)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_a_user_comment_with_a_line_of_settings_is_read_as_it_was_written(text: str) -> None:
    text = f"{text}\nSteps: 20, Seed: 7"
    assume(not text.startswith(("\ufeff", "\ufffe")))

    assert decode_user_comment(encode_user_comment(text)) == text
