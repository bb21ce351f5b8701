"""The loss matrix: made from the code, complete, and the page in examples/ is the current one."""

from pathlib import Path

import pytest

from sdclient.dialects import DIALECTS, loss_rows
from sdclient.dialects.matrix import NOT_ROWS, Cell, Sample, cell, matrix_markdown, matrix_rows, overview_rows, samples
from sdclient.schemas import ControlNet, Img2Img, Txt2Img

PAGE = Path(__file__).parents[3] / "examples" / "losses.md"


def test_the_page_is_what_the_code_says() -> None:
    current = matrix_markdown()

    assert PAGE.read_text(encoding="utf-8") == current, "run: sdclient payload losses -o examples/losses.md --force"


def test_every_field_of_a_request_has_a_row() -> None:
    rows = {sample.field.partition(".")[0].partition("[")[0] for sample in samples()}

    assert rows == {*Txt2Img.model_fields, *Img2Img.model_fields} - NOT_ROWS


def test_every_field_of_a_unit_has_a_row() -> None:
    rows = {sample.field.partition("[].")[2] for sample in samples() if sample.field.startswith("controls[].")}

    assert rows == ControlNet.model_fields.keys() - {"model"}


def test_every_cell_says_something() -> None:
    for field, cells in matrix_rows():
        for name, one in cells.items():
            assert one.keys or one.losses or field == "inherit", f"{field} on {name}"
            assert (one.how == "sent") == (bool(one.keys) and not one.losses)
            assert len(loss_rows(one.losses)) == len(one.losses)


@pytest.mark.parametrize(
    ("field", "name", "how"),
    [
        ("steps", "drawthings", "sent"),
        ("mask", "drawthings", "refused"),
        ("loras[].mode", "a1111", "approximated"),
        ("model", "sdcpp", "inherited"),
        ("eta", "koboldcpp", "dropped"),
        ("refiner.switch_at", "sdcpp", "dropped"),
        ("inherit", "a1111", "nothing to send"),
    ],
)
def test_a_cell_tells_what_becomes_of_a_field(field: str, name: str, how: str) -> None:
    [sample] = [sample for sample in samples() if sample.field == field]

    assert cell(sample, DIALECTS[name]).how == how


def test_a_cell_reads_as_a_sentence() -> None:
    base = {"model": "m", "seed": 1}
    sent = cell(Sample("steps", base, {**base, "steps": 5}), DIALECTS["a1111"])
    lost = cell(Sample("vae", base, {**base, "vae": "v"}), DIALECTS["drawthings"])

    assert str(sent) == "→ `steps`"
    assert str(lost) == "**dropped**: Draw Things takes the VAE that belongs to the model"
    assert str(Cell("nothing to send", (), ())) == "nothing to send"


def test_the_overview_has_one_column_a_server() -> None:
    assert {len(row) for row in overview_rows()} == {1 + len(DIALECTS)}
