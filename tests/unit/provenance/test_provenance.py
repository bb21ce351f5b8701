"""Where images come from, whether two are equal, and how their settings differ."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sdclient.dialects.importing.image import import_infotext
from sdclient.errors import CodecError, ConfigurationError
from sdclient.images import splice_text
from sdclient.infotext import Infotext, parse_infotext
from sdclient.provenance import compare_pixels, compare_settings, find_origin
from sdclient.provenance.origin import required_request
from sdclient.provenance.replay import recorded_server, request_of
from tests.unit.report.builder import RunBuilder, png, study

TEXT = "a fox\nNegative prompt: blurry\nSteps: 30, Sampler: Euler a, Schedule type: Karras, CFG scale: 5, Seed: 7, Size: 64x128, Model: sdxl"


def noisy() -> bytes:
    image = Image.open(io.BytesIO(png()))
    image.putpixel((3, 3), (0, 90, 40))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_the_same_pixels_are_equal_whatever_the_metadata() -> None:
    found = compare_pixels(png(), splice_text(png(), TEXT))

    assert found.is_equal
    assert str(found) == "the pixels are equal"
    assert found.to_json()["equal"] is True


def test_one_pixel_of_another_colour_is_found_and_measured() -> None:
    found = compare_pixels(png(), noisy())

    assert not found.is_equal
    assert found.differing_percent == pytest.approx(100 / (64 * 48))
    assert found.max_difference == 200
    assert found.mean_difference == pytest.approx(200 / (64 * 48 * 3))
    assert "PSNR" in str(found)


def test_other_images_are_called_so() -> None:
    assert "another image" in str(compare_pixels(png((0, 0, 0)), png((255, 255, 255))))


def test_sizes_that_differ_are_said() -> None:
    found = compare_pixels(png(), png(size=(32, 32)))

    assert not found.is_equal
    assert str(found) == "the sizes differ: 64x48 and 32x32"


def test_what_is_no_image_cannot_be_compared() -> None:
    with pytest.raises(CodecError):
        compare_pixels(png(), b"text")


def test_an_image_inside_a_run_knows_its_job(tmp_path: Path) -> None:
    run = study(tmp_path / "OUT")

    origin = find_origin(run.out / "baked/Greek/fox_1_upscaled_1.png")

    assert origin.run is not None
    assert (origin.run.job.place, origin.run.index) == ("baked/Greek/fox_1_upscaled", 0)
    assert not origin.is_changed
    assert recorded_server(origin) == "mini"


def test_an_image_that_was_edited_since_is_told_apart(tmp_path: Path) -> None:
    run = study(tmp_path / "OUT")
    path = run.out / "generated/Greek/fox_1.png"
    path.write_bytes(png((1, 1, 1)))

    assert find_origin(path).is_changed


def test_an_image_outside_every_run_has_only_its_own_metadata(tmp_path: Path) -> None:
    path = tmp_path / "fox.png"
    path.write_bytes(splice_text(png(), TEXT))

    origin = find_origin(path)

    assert origin.run is None
    assert origin.infotext is not None
    assert origin.infotext.prompt == "a fox"
    assert recorded_server(origin) is None


def test_a_file_of_the_users_inside_a_run_belongs_to_no_job(tmp_path: Path) -> None:
    run = study(tmp_path / "OUT")
    path = run.out / "generated/Greek/holiday.png"
    path.write_bytes(png())

    assert find_origin(path).run is None


def test_a_damaged_record_is_passed_over(tmp_path: Path) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    job = run.plan("fox")
    run.commit(job)
    (run.folder.done_folder(job.id) / "record.json").write_text("{")

    assert find_origin(run.out / "fox_1.png").run is None


def test_a_missing_image_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        find_origin(tmp_path / "none.png")


def test_a_cut_out_and_an_image_of_which_nothing_is_known_cannot_be_made_again(tmp_path: Path) -> None:
    run = study(tmp_path / "OUT")
    (tmp_path / "plain.png").write_bytes(png())

    with pytest.raises(ConfigurationError, match="is a cut-out"):
        required_request(find_origin(run.out / "cutouts/Italian/fox/fox_01.png"))
    with pytest.raises(ConfigurationError, match="nothing tells how it was made"):
        required_request(find_origin(tmp_path / "plain.png"))


def test_two_requests_are_compared_as_they_were_sent(tmp_path: Path) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    for name, steps in (("a", 20), ("b", 30)):
        facts = {"request": {"steps": steps, "prompt": "x", "units": [{"weight": 0.5}]}, "seed": steps}
        run.commit(run.plan(name), facts=facts)

    diff = compare_settings(run.out / "a_1.png", run.out / "b_1.png")

    assert diff.compared == "the requests as sent"
    assert [(one.field, one.a, one.b) for one in diff.differences] == [("steps", "20", "30")]
    assert diff.equal == 5


def test_a_seed_that_was_sent_is_told_once(tmp_path: Path) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    for name, seed in (("a", 7), ("b", 8)):
        job = run.plan(name)
        record = run.commit(job, facts={"request": {"seed": seed}})
        drawn = replace(record, files=tuple(replace(one, facts={**one.facts, "seed": seed}) for one in record.files))
        (run.folder.done_folder(job.id) / "record.json").write_bytes(drawn.to_bytes())

    diff = compare_settings(run.out / "a_1.png", run.out / "b_1.png")

    assert [(one.field, one.a, one.b) for one in diff.differences] == [("seed", "7", "8")]


def test_requests_to_other_programs_are_compared_as_planned(tmp_path: Path) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    for name, dialect in (("a", "a1111"), ("b", "drawthings")):
        job = run.plan(name, changes={"prompt": name})
        run.commit(job, facts={"request": {"x": 1}, "dialect": dialect})

    diff = compare_settings(run.out / "a_1.png", run.out / "b_1.png")

    assert diff.compared == "the planned requests"
    assert {one.field for one in diff.differences} == {"prompt", "(dialect)"}


def test_files_from_elsewhere_are_compared_by_their_metadata(tmp_path: Path) -> None:
    for name, text in (("a", TEXT), ("b", TEXT.replace("Seed: 7", "Seed: 8").replace(", Model: sdxl", ""))):
        (tmp_path / f"{name}.png").write_bytes(splice_text(png(), text))

    diff = compare_settings(tmp_path / "a.png", tmp_path / "b.png")

    assert diff.compared == "the files' own metadata"
    assert [(one.field, one.a, one.b) for one in diff.differences] == [("Seed", "7", "8"), ("Model", "sdxl", "—")]


def test_files_without_metadata_cannot_be_compared(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "b.png").write_bytes(splice_text(png(), TEXT))

    with pytest.raises(ConfigurationError, match="nothing to compare"):
        compare_settings(tmp_path / "a.png", tmp_path / "b.png")


def test_a_request_is_read_from_an_images_own_text() -> None:
    request, notes = request_of(parse_infotext(TEXT + ", ENSD: 31337"))

    assert (request.prompt, request.negative_prompt, request.steps, request.cfg_scale) == ("a fox", "blurry", 30, 5.0)
    assert (request.seed, request.size, request.sampler_name, request.model) == (7, (64, 128), "Euler a", "sdxl")
    assert notes[1] == "not taken over: ENSD"


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ({"Sampler": "euler_a discrete"}, ("Euler a", "Normal")),
        ({"Sampler": "Default", "Schedule type": "Default"}, (None, None)),
        ({"Sampler": "DPM++ 2M", "Schedule type": "Karras"}, ("DPM++ 2M", "Karras")),
    ],
    ids=["stable-diffusion.cpp", "left open", "A1111"],
)
def test_a_sampler_is_asked_for_by_the_name_that_requests_have_for_it(
    told: dict[str, str], asked: tuple[str | None, str | None]
) -> None:
    request, _ = request_of(Infotext("a fox", "", {"Steps": "20", **told}))

    assert (request.sampler_name, request.scheduler) == asked


def test_a_text_without_a_model_takes_what_the_server_has() -> None:
    request, notes = request_of(Infotext("a fox", "", {"Steps": "20"}))

    assert request.inherit
    assert len(notes) == 1


def test_a_text_is_read_for_a_replay_as_it_is_for_a_payload() -> None:
    text = (
        "a fox <lora:detail:0.5>\nSteps: 20, Sampler: Euler a, Size: 64x64, Model: sdxl, Variation seed: 9, "
        "Variation seed strength: 0.2, Denoising strength: 0.4, Hires upscale: 2, Hires upscaler: Latent, "
        "Refiner: fine [abcdef1234], Refiner switch at: 0.8, Upscaler: 4x, Upscale factor: 2"
    )

    request, notes = request_of(parse_infotext(text))

    assert request == import_infotext(text).request
    assert (request.size, request.subseed_strength) == ((128, 128), 0.2)
    assert request.hires is not None
    assert request.refiner is not None
    assert request.enlarge is not None
    assert len(notes) == 1


def test_of_an_image_that_may_have_had_loras_nobody_wrote_down_a_replay_says_so() -> None:
    _, notes = request_of(Infotext("a fox", "", {"Steps": "20", "Version": "stable-diffusion.cpp"}))

    assert notes[1].startswith("LoRAs, hires fix: stable-diffusion.cpp writes none into an image; if there was any")


def test_a_seed_that_no_request_takes_is_said_to_give_other_pixels() -> None:
    request, notes = request_of(Infotext("a fox", "", {"Steps": "500", "Seed": "4294967296", "CFG scale": "4"}))

    assert (request.seed, request.steps, request.cfg_scale) == (None, None, 4)
    assert notes[1] == "other pixels are to be expected: no request takes its seed 4294967296, and one is drawn"
    assert notes[2] == "not taken over: Seed, Steps"


def test_an_image_drawn_over_another_cannot_be_made_from_its_text_alone() -> None:
    with pytest.raises(ConfigurationError, match="drawn over another one"):
        request_of(Infotext("a fox", "", {"Steps": "20", "Denoising strength": "0.3"}))
