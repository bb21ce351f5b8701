"""Names of models in what the doctor finds: one each, as people know it."""

from __future__ import annotations

import pytest

from sdclient.dialects.a1111_names import model_titles, without_hash

SHA = "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b"
LISTED = (
    "sd_xl_base_1.0.safetensors [31e35c80fc]",
    "sd_xl_base_1.0",
    "/home/anna/models/sd_xl_base_1.0.safetensors",
    SHA,
    "31e35c80fc",
    "photo/real.safetensors",
    "photo_real",
    "C:\\models\\photo\\real.safetensors",
    "\\\\nas\\models\\photo\\real.safetensors",
    "deadbeef",
)


def test_every_model_is_named_once_without_paths_and_hashes_of_the_server() -> None:
    assert model_titles(LISTED) == ("sd_xl_base_1.0.safetensors", "photo/real.safetensors", "photo_real")


@pytest.mark.parametrize("title", ["Foo [Exact]", "plain.ckpt", "v1 [pruned] final"])
def test_a_bracket_that_holds_no_hash_stays(title: str) -> None:
    assert without_hash(title) == title
