"""Folders, prompts and other jobs' outputs, turned into jobs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sdclient.batch.plan import FileInput, OutputInput
from sdclient.errors import ConfigurationError, PlanError
from sdclient.planning import (
    JobList,
    PromptRow,
    composed,
    find_images,
    plan_folder,
    plan_prompts,
    relative_root,
    summarise,
)
from sdclient.prompts import read_prompts
from sdclient.report.grid import Grid, grid_png
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.segment import SegmentSettings
from sdclient.steps.generate import GenerateSpec
from sdclient.steps.segment import SegmentSpec

BAKE = GenerateSpec(Img2Img(denoising_strength=0.3))
DRAW = GenerateSpec(Txt2Img(prompt="a fox"))
CUT = SegmentSpec(SegmentSettings(model="classical"))


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    return folder


class TestFindImages:
    def test_images_of_every_suffix_and_case_are_found_in_order(self, tmp_path: Path) -> None:
        make(tmp_path, "b.PNG", "a.jpg", "sub/c.JPEG", "sub/deep/d.webp", "e.txt", "f")

        assert find_images(tmp_path).paths == ("a.jpg", "b.PNG", "sub/c.JPEG", "sub/deep/d.webp")

    def test_small_files_that_hold_no_image_are_left_out_unless_they_were_planned(self, tmp_path: Path) -> None:
        make(tmp_path, "old.png", "text.png", "page.jpg")
        (tmp_path / "real.png").write_bytes(b"\x89PNG\r\n\x1a\n and so on")
        (tmp_path / "large.png").write_bytes(b"image" * 20_000)

        found = find_images(tmp_path, planned={"old.png"})

        assert found.paths == ("large.png", "old.png", "real.png")
        assert [str(one) for one in found.skipped] == [
            "page.jpg: no image, though its name says so",
            "text.png: no image, though its name says so",
        ]

    def test_hidden_files_and_folders_are_left_out(self, tmp_path: Path) -> None:
        make(tmp_path, "._a.png", ".sdclient/x.png", ".Trash/y.png", "a.png", "Thumbs.db")

        found = find_images(tmp_path)

        assert found.paths == ("a.png",)
        assert [str(one) for one in found.skipped] == [
            "._a.png: kept by the operating system",
            ".Trash: hidden",
            "Thumbs.db: kept by the operating system",
        ]

    def test_the_output_folder_inside_is_left_out(self, tmp_path: Path) -> None:
        make(tmp_path, "a.png", "out/a_upscaled_1.png")

        assert find_images(tmp_path, out=tmp_path / "out").paths == ("a.png",)

    def test_a_grid_of_a_runs_images_is_left_out_and_said(self, tmp_path: Path) -> None:
        make(tmp_path, ".sdclient/run.json", "fox_1.png", "a.png", "sub/b.PNG", "grid of a fox.png")
        cells = {("r", "c"): ("a.png",)}
        for name in ("grid.png", "sub/mine.PNG"):
            (tmp_path / name).write_bytes(grid_png(Grid("x", "y", ("r",), ("c",), cells), tmp_path, cell_px=64))
        (tmp_path / "a.png").write_bytes(b"\x89PNG tEXtparameters\0a sdclient grid")

        found = find_images(tmp_path)

        assert found.paths == ("a.png", "fox_1.png", "grid of a fox.png", "sub/b.PNG")
        assert summarise(found.skipped) == ["grid.png and sub/mine.PNG: a grid of the run's images"]

    @pytest.mark.skipif(sys.platform == "win32", reason="names are bytes only on POSIX")
    def test_what_cannot_be_used_is_listed_with_its_reason(self, tmp_path: Path) -> None:
        make(tmp_path, "a.png")
        (tmp_path / "empty.png").write_bytes(b"")
        (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
        (tmp_path / "folder.png").mkdir()
        with open(os.fsencode(tmp_path) + b"/caf\xe9.png", "wb") as file:  # noqa: PTH123 - a path cannot spell it
            file.write(b"image")

        found = find_images(tmp_path)

        assert found.paths == ("a.png",)
        assert sorted(one.reason for one in found.skipped) == [
            "a link or no plain file",
            "empty",
            "its name is no text; rename it",
        ]

    @pytest.mark.skipif(sys.platform == "win32", reason="a backslash parts folders there")
    def test_a_backslash_in_a_name_leaves_out_that_image_alone(self, tmp_path: Path) -> None:
        source = make(tmp_path / "in", "a.png", "b\\c.png", "it\\gr/d.png")

        listed, left_out = plan_folder(BAKE, source, tmp_path / "out")

        assert [job.place for job in listed.jobs] == ["a_upscaled"]
        assert summarise(left_out) == [
            "b\\c.png and it\\gr/d.png: a backslash in its path, which parts folders on Windows; rename it"
        ]

    @pytest.mark.skipif(sys.platform == "win32", reason="no file is called so there")
    def test_an_image_whose_path_begins_with_a_drive_for_windows_is_left_out(self, tmp_path: Path) -> None:
        source = make(tmp_path / "in", "a:b.png", "ab:c.png", "it/a:b.png")

        listed, left_out = plan_folder(BAKE, source, tmp_path / "out")

        assert [job.place for job in listed.jobs] == ["ab:c_upscaled", "it/a:b_upscaled"]
        assert summarise(left_out) == ["a:b.png: its path begins with a drive (c:) as Windows reads it; rename it"]

    def test_an_order_that_there_is_not_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="order='oldest': give name, newest or random"):
            find_images(tmp_path, order="oldest")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    def test_names_are_ordered_as_people_count(self, tmp_path: Path) -> None:
        make(tmp_path, "img10.png", "img2.png", "IMG1.png", "b/1.png", "a10/1.png", "a9/1.png")

        assert find_images(tmp_path).paths == ("IMG1.png", "img2.png", "img10.png", "a9/1.png", "a10/1.png", "b/1.png")

    def test_the_newest_come_first_whatever_folder_they_are_in(self, tmp_path: Path) -> None:
        make(tmp_path, "old.png", "sub/new.png", "middle.png")
        for age_s, name in enumerate(["sub/new.png", "middle.png", "old.png"]):
            os.utime(tmp_path / name, (1_000_000 - age_s, 1_000_000 - age_s))

        assert find_images(tmp_path, order="newest").paths == ("sub/new.png", "middle.png", "old.png")

    def test_a_seed_shuffles_alike_everywhere_and_another_seed_otherwise(self, tmp_path: Path) -> None:
        here = make(tmp_path / "1", *(f"{number}.png" for number in range(20)), "caf\u00e9.png")
        there = make(tmp_path / "2", *(f"{number}.png" for number in range(20)), "cafe\u0301.png")

        orders = [
            [composed(path) for path in find_images(folder, order="random", seed=seed).paths]
            for folder, seed in ((here, 1), (there, 1), (here, 2))
        ]

        assert orders[0] == orders[1] != orders[2]
        assert sorted(orders[0]) == sorted(orders[2])

    def test_the_output_folder_of_another_run_is_left_out_and_said(self, tmp_path: Path) -> None:
        make(tmp_path, "a.png", "BAKED/a_upscaled_1.png", "BAKED/.sdclient/run.json")

        found = find_images(tmp_path)

        assert found.paths == ("a.png",)
        assert [str(one) for one in found.skipped] == ["BAKED: the output folder of another run; name it as the input"]

    def test_what_is_left_out_is_summed_up_by_reason_with_short_names(self, tmp_path: Path) -> None:
        make(tmp_path, "a.png", *(f"note{number}.txt" for number in range(5)), "x" * 60 + ".tiff", "a\nb.gif")

        assert summarise(find_images(tmp_path).skipped) == [
            "a\N{REPLACEMENT CHARACTER}b.gif and …" + "x" * 34 + ".tiff: neither PNG, JPEG nor WebP; convert first",
            "note0.txt, note1.txt, note2.txt and 2 more: no image",
        ]

    def test_a_folder_that_is_none_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="no such folder"):
            find_images(tmp_path / "gone")


class TestPlanFolder:
    def test_sub_folders_are_kept_and_inputs_are_relative(self, tmp_path: Path) -> None:
        source = make(tmp_path / "in", "a.png", "sub/b.jpg")

        listed, _ = plan_folder(BAKE, source, tmp_path / "out", into="baked")

        assert [(job.place, job.input) for job in listed.jobs] == [
            ("baked/a_upscaled", FileInput("../in", "a.png")),
            ("baked/sub/b_upscaled", FileInput("../in", "sub/b.jpg")),
        ]

    def test_an_image_whose_results_would_have_too_long_a_name_is_left_out(self, tmp_path: Path) -> None:
        source = make(
            tmp_path / "in", "a.png", "x" * 241 + ".png", "sub/" + "\N{LATIN SMALL LETTER E WITH ACUTE}" * 111 + ".png"
        )

        listed, left_out = plan_folder(BAKE, source, tmp_path / "out")

        assert [job.place for job in listed.jobs] == ["a_upscaled"]
        assert [one.reason for one in left_out] == ["its name is too long for those of results"] * 2

    def test_two_images_with_one_output_name_are_refused(self, tmp_path: Path) -> None:
        source = make(tmp_path / "in", "a.png", "a.jpg")

        with pytest.raises(PlanError, match=r"a\.jpg and a\.png"):
            plan_folder(BAKE, source, tmp_path / "out")

    @pytest.mark.parametrize(("spec", "made"), [(BAKE, "a_upscaled_1.png"), (CUT, "a/a_01.png")])
    def test_outputs_beside_their_inputs_are_not_taken_in_again(
        self, tmp_path: Path, spec: GenerateSpec | SegmentSpec, made: str
    ) -> None:
        make(tmp_path, "a.png", made)

        listed, _ = plan_folder(spec, tmp_path, tmp_path)

        assert [job.input for job in listed.jobs] == [FileInput(".", "a.png")]

    def test_outputs_of_another_step_are_taken_in(self, tmp_path: Path) -> None:
        make(tmp_path, "generated/fox_1.png", "generated/fox_2.png")

        listed, _ = plan_folder(BAKE, tmp_path / "generated", tmp_path, into="baked")

        assert [job.place for job in listed.jobs] == ["baked/fox_1_upscaled", "baked/fox_2_upscaled"]

    def test_one_name_in_two_spellings_is_refused_with_both_shown(self, tmp_path: Path) -> None:
        source = make(tmp_path / "in", "caf\u00e9.png", "cafe\u0301.png")

        with pytest.raises(PlanError, match=r"'cafe\\u0301\.png' and 'caf\\xe9\.png' are one name in two spellings"):
            plan_folder(BAKE, source, tmp_path / "out")

    def test_outputs_of_variations_planned_before_are_not_taken_in_again(self, tmp_path: Path) -> None:
        make(tmp_path, "a.png", "a_steps-20_upscaled_1.png")

        listed, _ = plan_folder(BAKE, tmp_path, tmp_path, planned=["a_steps-20_upscaled"])

        assert [job.input for job in listed.jobs] == [FileInput(".", "a.png")]

    def test_both_spellings_of_a_name_give_one_job(self, tmp_path: Path) -> None:
        one, _ = plan_folder(BAKE, make(tmp_path / "1" / "in", "caf\u00e9.png"), tmp_path / "1" / "out")
        other, _ = plan_folder(BAKE, make(tmp_path / "2" / "in", "cafe\u0301.png"), tmp_path / "2" / "out")

        assert one.jobs == other.jobs

    def test_a_root_is_relative_to_the_output_folder(self, tmp_path: Path) -> None:
        assert relative_root(tmp_path / "a" / "in", tmp_path / "out") == "../a/in"
        assert relative_root(tmp_path / "out" / "generated", tmp_path / "out") == "generated"


class TestJobList:
    def test_a_spec_is_written_once_however_many_jobs_share_it(self) -> None:
        listed = JobList()
        jobs = [listed.add(DRAW, f"job{number}") for number in range(3)]

        assert {job.spec for job in jobs} == set(listed.specs)

    def test_every_image_of_a_job_gets_a_job_of_its_own(self) -> None:
        listed = JobList()
        first = listed.add(DRAW, "generated/it/fox")

        baked = listed.add_outputs(BAKE, [first], "baked", images_per_job=2, below="generated")
        cut = listed.add_outputs(CUT, baked, "cutouts", below="baked")

        assert [job.place for job in baked] == ["baked/it/fox_1_upscaled", "baked/it/fox_2_upscaled"]
        assert [job.input for job in baked] == [OutputInput(first.id, 0), OutputInput(first.id, 1)]
        assert [job.place for job in cut] == ["cutouts/it/fox_1_upscaled_1", "cutouts/it/fox_2_upscaled_1"]

    def test_prompts_are_named_by_number_and_words(self) -> None:
        rows = [
            PromptRow({"prompt": "A red fox, at dusk!"}),
            PromptRow({"prompt": "?!"}),
            PromptRow({}, name="own/name"),
        ]

        places = [job.place for job in plan_prompts(DRAW, rows, into="g").jobs]

        assert places == ["g/0001_A_red_fox_at_dusk", "g/0002_image", "g/own/name"]


class TestReadPrompts:
    def read(self, tmp_path: Path, name: str, text: str) -> list[PromptRow]:
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
        return read_prompts(tmp_path / name)

    def test_a_text_file_has_one_prompt_a_line(self, tmp_path: Path) -> None:
        rows = self.read(tmp_path, "p.txt", "\ufeffa fox\r\n\n  a hare \u2028 in snow\n")

        assert [row.changes["prompt"] for row in rows] == ["a fox", "a hare \u2028 in snow"]

    def test_a_table_has_fields_a_name_and_columns_of_ones_own(self, tmp_path: Path) -> None:
        rows = self.read(
            tmp_path,
            "p.csv",
            'prompt,negative,seed,steps,name,nation\n"a fox,\nat dusk",blur,7,,../it/fox,Italian\n007\u2028,,,,,\n',
        )

        assert rows[0] == PromptRow(
            {"prompt": "a fox,\nat dusk", "negative_prompt": "blur", "seed": 7}, {"nation": "Italian"}, "it/fox"
        )
        assert rows[1].changes == {"prompt": "007\u2028"}

    @pytest.mark.parametrize(
        "text",
        ["prompt;seed\na fox, red;7\n", 'prompt,seed,\n"a fox, red",7,\n', 'prompt,seed\n"a fox, red",7\n,\n , \n'],
        ids=["semicolons", "a column without a name", "rows without text"],
    )
    def test_a_table_is_read_as_spreadsheets_write_it(self, tmp_path: Path, text: str) -> None:
        assert self.read(tmp_path, "p.csv", text) == [PromptRow({"prompt": "a fox, red", "seed": 7})]

    def test_json_lines_keep_their_types(self, tmp_path: Path) -> None:
        rows = self.read(tmp_path, "p.jsonl", '{"prompt": "a fox", "steps": 20, "tags": ["x"]}\n\n')

        assert rows == [PromptRow({"prompt": "a fox", "steps": 20}, {"tags": '["x"]'})]

    @pytest.mark.parametrize(
        ("name", "text", "words"),
        [
            ("p.csv", "text\na fox\n", "no column named prompt"),
            ("p.csv", "prompt,seed\na fox\n", "line 2: has another number of cells than the header .1, not 2.$"),
            ("p.csv", "prompt\na fox,b\n", '.2, not 1.; put "quotes" around a prompt with a comma$'),
            ("p.csv", "prompt,\na fox, red\n", "around a prompt with a comma$"),
            ("p.csv", "prompt;seed\na fox; red;7\n", "around a prompt with a semicolon$"),
            ("p.csv", "prompt,loras\na fox," + "[" * 100_000, "line 2: loras"),
            ("p.csv", "x" * 200_000, "line 1: no CSV"),
            ("p.csv", "prompt,steps\na fox,many\n", "line 2"),
            ("p.csv", "prompt\n" + "x" * 200_000, "no CSV"),
            ("p.jsonl", "{\n", "line 1: no JSON"),
            ("p.jsonl", "[]\n", "an object is expected"),
            ("p.jsonl", '{"prompt": "a", "steps": -1}\n', "line 1"),
            ("p.txt", "\n\n", "holds no prompts"),
            ("p.doc", "a fox", "not a list of prompts"),
        ],
    )
    def test_what_cannot_be_read_is_told_with_its_line(self, tmp_path: Path, name: str, text: str, words: str) -> None:
        with pytest.raises(ConfigurationError, match=words):
            self.read(tmp_path, name, text)

    def test_a_file_that_is_no_text_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "p.txt").write_bytes(b"\xff\xfe")

        with pytest.raises(ConfigurationError, match="UTF-8"):
            read_prompts(tmp_path / "p.txt")
