"""What a record keeps of a request: every setting, and no image."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from sdclient.steps.generate import output_place, shown_body

IMAGE = base64.b64encode(bytes(range(256)) * 8).decode()


def test_images_become_their_length_and_hash_wherever_they_are() -> None:
    body = {
        "prompt": "a fox",
        "init_images": ["aGVsbG8="],
        "mask": "aGVsbG8=",
        "alwayson_scripts": {"ControlNet": {"args": [{"image": "aGVsbG8=", "weight": 0.5}]}, "x": {"args": [IMAGE]}},
    }

    shown = shown_body(body)

    text = str(shown)
    assert "aGVsbG8=" not in text
    assert IMAGE[:40] not in text
    assert text.count("image, 8 characters, sha256 ") == 3
    assert shown["prompt"] == "a fox"


def test_a_long_prompt_stays_readable_in_any_script() -> None:
    prompt = "狐が雪の中を走る、" * 1000

    assert shown_body({"prompt": prompt, "mask": None, "image": ""}) == {"prompt": prompt, "mask": None, "image": ""}


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20), lambda x: st.lists(x, max_size=3))
)
def test_what_is_no_image_stays_as_it_is(value: object) -> None:
    assert shown_body({"setting": value}) == {"setting": value}


def test_places_are_numbered_and_keep_their_folder() -> None:
    assert output_place("a/b", 3, ".png") == "a/b_3.png"
