"""What a run says of images that their server drew otherwise than asked."""

from __future__ import annotations

import json

import pytest

from tests.conftest import CommandLine
from tests.integration.scripted_server import TXT2IMG, base_url, images, png, scripted

SET = ("--set", "width=64", "--set", "height=64", "--set", "steps=1", "--set", "model=juggernaut")


@pytest.mark.parametrize(("applied", "says"), [("sd_xl_base_1.0", True), ("juggernaut", False)])
def test_a_run_drawn_with_another_model_says_so_at_the_first_image_at_the_end_and_in_its_status(
    cli: CommandLine, applied: str, *, says: bool
) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\na hare\n")
    # It lists no models, so nobody can tell beforehand.
    with scripted({TXT2IMG: images(png(64, 64), info={"sd_model_name": applied})}) as server:
        drawn = cli("generate", "prompts.txt", "--out", "out", *SET, "--url", base_url(server))
    status = cli("status", "out")
    told = json.loads(cli("status", "out", "--json").stdout)

    assert drawn.code == 0, drawn.stderr
    assert drawn.stderr.count("model: juggernaut was asked for, sd_xl_base_1.0 was used") == says
    sentence = "2 images differ from what was asked: model (column changed of images.csv)"
    assert [sentence in one.stderr for one in (drawn, status)] == [says, says]
    assert (told["otherwise_images"], told["otherwise_fields"]) == ((2, ["model"]) if says else (0, []))
