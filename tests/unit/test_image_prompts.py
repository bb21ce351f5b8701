"""A prompt for each image: beside it, in it, or in a table."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image, PngImagePlugin

from sdclient.errors import ConfigurationError
from sdclient.planning import PromptRow
from sdclient.prompts import image_rows

Spelling = Literal["NFC", "NFD"]
NAMES = ("a.png", "it/b.png", "it/c.png", "gr/c.png")


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestBeside:
    def test_a_text_of_the_same_name_is_the_prompt(self, tmp_path: Path) -> None:
        write(tmp_path / "a.txt", "\ufeffa fox,\r\nat dusk\n")
        write(tmp_path / "it" / "b.png.txt", "an owl\nNegative prompt: blur\nSteps: 20, Sampler: Euler, Seed: 7")

        rows = image_rows(tmp_path, NAMES, "sidecar")

        assert rows.rows == {
            "a.png": PromptRow({"prompt": "a fox,\nat dusk"}),
            "it/b.png": PromptRow({"prompt": "an owl", "negative_prompt": "blur", "seed": 7}),
        }
        assert rows.remarks == (
            "2 of 4 images have no text file beside them (it/c.png and gr/c.png): they take what all have in common",
        )

    @pytest.mark.parametrize(("image", "text"), [("NFC", "NFD"), ("NFD", "NFC")])
    def test_a_text_is_found_whichever_way_an_accent_is_spelled(
        self, tmp_path: Path, image: Spelling, text: Spelling
    ) -> None:
        spelled = unicodedata.normalize(image, "\N{LATIN SMALL LETTER E WITH ACUTE}t.png")
        write(tmp_path / unicodedata.normalize(text, "\N{LATIN SMALL LETTER E WITH ACUTE}t.txt"), "a summer")

        assert image_rows(tmp_path, [spelled], "sidecar").rows == {spelled: PromptRow({"prompt": "a summer"})}

    def test_an_empty_text_is_none(self, tmp_path: Path) -> None:
        write(tmp_path / "a.txt", " \n")

        assert image_rows(tmp_path, ["a.png"], "sidecar").missing == ("a.png",)

    @pytest.mark.parametrize(
        ("content", "words"),
        [(b"caf\xe9", "is no text in UTF-8"), (b"x" * 1_048_577, "too long for a prompt")],
        ids=["latin-1", "too long"],
    )
    def test_what_is_no_prompt_is_refused_with_its_name(self, tmp_path: Path, content: bytes, words: str) -> None:
        write(tmp_path / "a.txt", content)

        with pytest.raises(ConfigurationError, match=rf"a\.txt: .*{words}"):
            image_rows(tmp_path, ["a.png"], "sidecar")


class TestInside:
    def save(self, path: Path, parameters: str | None, size: tuple[int, int] = (8, 8)) -> None:
        info = PngImagePlugin.PngInfo()
        if parameters is not None:
            info.add_text("parameters", parameters)
        Image.effect_noise(size, 90).convert("RGB").save(path, pnginfo=info)

    def test_prompt_negative_prompt_and_seed_are_taken_and_nothing_else(self, tmp_path: Path) -> None:
        self.save(tmp_path / "a.png", "a fox <lora:x:1>\nNegative prompt: blur\nSteps: 20, Sampler: Euler, Seed: 7")
        self.save(tmp_path / "b.png", None)

        rows = image_rows(tmp_path, ["a.png", "b.png"], "metadata")

        assert rows.rows == {"a.png": PromptRow({"prompt": "a fox", "negative_prompt": "blur", "seed": 7})}
        assert rows.remarks == (
            "1 of 2 images say nothing of a prompt themselves (b.png): they take what all have in common",
        )

    def test_words_behind_the_pixels_are_found_too(self, tmp_path: Path) -> None:
        image = Image.effect_noise((640, 640), 90).convert("RGB")
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "a fox\nSteps: 20, Seed: 3, Size: 8x8".encode("utf-16-be")
        image.save(tmp_path / "a.webp", lossless=True, exif=exif)
        assert (tmp_path / "a.webp").stat().st_size > 300_000

        assert image_rows(tmp_path, ["a.webp"], "metadata").rows["a.webp"].changes["prompt"] == "a fox"

    def test_settings_that_no_server_takes_do_not_cost_the_prompt(self, tmp_path: Path) -> None:
        self.save(tmp_path / "a.png", "a fox\nSteps: 900, Sampler: Euler, Seed: -5")

        assert image_rows(tmp_path, ["a.png"], "metadata").rows == {"a.png": PromptRow({"prompt": "a fox"})}


class TestTable:
    def test_rows_have_fields_parts_and_columns_of_ones_own(self, tmp_path: Path) -> None:
        table = write(
            tmp_path / "t.csv",
            "\ufeffImage,prompt,negative,seed,controls[0].weight,nation,name\r\na.png,a fox,blur,7,0.4,Italian,x\r\n",
        )

        rows = image_rows(tmp_path, ["a.png"], str(table))

        assert rows.rows["a.png"] == PromptRow(
            {"prompt": "a fox", "negative_prompt": "blur", "seed": 7},
            {"nation": "Italian", "name": "x"},
            sets=("controls[0].weight=0.4",),
        )
        assert rows.remarks == ()

    def test_images_are_named_by_path_end_of_path_or_a_path_of_another_machine(self, tmp_path: Path) -> None:
        table = write(
            tmp_path / "t.jsonl",
            '{"file": "a.png", "prompt": "1"}\n{"file": "it\\\\b.png", "prompt": "2"}\n'
            '{"file": "/Volumes/share/IN/it/c.png", "prompt": "3"}\n{"file": "lost.png", "prompt": "4"}\n',
        )

        rows = image_rows(tmp_path, NAMES, table)

        assert {path: row.changes["prompt"] for path, row in rows.rows.items()} == {
            "a.png": "1",
            "it/b.png": "2",
            "it/c.png": "3",
        }
        assert rows.remarks == (
            f"1 of 4 images have no row in {table} (gr/c.png): they take what all have in common",
            f"{table} has 1 rows for images that are not there (lost.png)",
        )

    def test_either_spelling_of_a_name_is_found(self, tmp_path: Path) -> None:
        table = write(tmp_path / "t.csv", "image,prompt\ncaf\u00e9.png,a fox\n")

        assert set(image_rows(tmp_path, ["cafe\u0301.png"], table).rows) == {"cafe\u0301.png"}

    def test_a_column_nearly_called_like_a_field_is_said(self, tmp_path: Path) -> None:
        table = write(tmp_path / "t.csv", "image,promt\na.png,a fox\n")

        (remark,) = image_rows(tmp_path, ["a.png"], table).remarks

        assert remark == "the column promt is only carried along; if it is meant as prompt, rename it"

    def test_a_mapping_does_from_python(self, tmp_path: Path) -> None:
        rows = image_rows(tmp_path, NAMES, {"a.png": "a fox", "b.png": {"seed": 3, "refiner.switch_at": 0.7}})

        assert rows.rows == {
            "a.png": PromptRow({"prompt": "a fox"}),
            "it/b.png": PromptRow({"seed": 3}, sets=("refiner.switch_at=0.7",)),
        }

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("t.csv", "prompt\na fox\n", "line 2: has no column that names the image"),
            (
                "t.csv",
                "image,prompt\nlost.png,a fox\n",
                "names none of the images: it has lost.png, the folder has a.png",
            ),
            ("t.csv", "image,prompt\na.png,a\na.png,b\n", "a.png has two rows, lines 2 and 3"),
            ("t.csv", "image,prompt\nc.png,a\n", "line 2: c.png could be it/c.png and gr/c.png"),
            ("t.csv", "image,steps\na.png,many\n", "line 2"),
            ("t.csv", "image,prompt\n", "holds no rows"),
            ("t.txt", "a fox", "not a list of prompts"),
            ("none.csv", None, "no such file; write sidecar, metadata"),
            ("x" * 400, None, "no such file; write sidecar, metadata"),
        ],
    )
    def test_what_cannot_be_used_is_told(self, tmp_path: Path, name: str, content: str | None, words: str) -> None:
        if content is not None:
            write(tmp_path / name, content)

        with pytest.raises(ConfigurationError) as caught:
            image_rows(tmp_path, NAMES, str(tmp_path / name))

        assert words in str(caught.value)
