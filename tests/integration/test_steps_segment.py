"""The step that cuts images up, with the segmenter that needs no weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sdclient.batch.lane import Task
from sdclient.batch.plan import make_job
from sdclient.errors import CancelledError, CodecError, ConfigurationError, PlanError, StorageError
from sdclient.segment import SegmentSettings
from sdclient.steps.segment import SegmenterLane, SegmentSpec, _finding

CLASSICAL = SegmentSettings(model="classical")


@pytest.fixture
def lane() -> SegmenterLane:
    return SegmenterLane(CLASSICAL)


def make_task(out: Path, source: Path | None, settings: SegmentSettings = CLASSICAL) -> Task:
    spec = json.loads(json.dumps(SegmentSpec(settings).to_json()))
    return Task(make_job("segment", "cutouts/two", spec), spec, 1, 0, source, out)


def two_objects(path: Path) -> Path:
    image = Image.new("RGB", (200, 120), (235, 235, 230))
    draw = ImageDraw.Draw(image)
    draw.ellipse((15, 20, 85, 100), fill=(200, 30, 30))
    draw.rectangle((120, 30, 180, 95), fill=(30, 60, 190))
    image.save(path)
    return path


def test_a_redo_may_replace_its_own_cutouts(lane: SegmenterLane, tmp_path: Path) -> None:
    task = make_task(tmp_path, two_objects(tmp_path / "two.png"))
    (tmp_path / "cutouts" / "two").mkdir(parents=True)
    (tmp_path / "cutouts" / "two" / "two_01.png").write_bytes(b"of the first time")
    again = replace(task, job=replace(task.job, revision=1))
    part = tmp_path / "part"
    part.mkdir()

    with pytest.raises(PlanError, match="stands where this image's cut-outs would go"):
        lane.prepare(task)
    assert len(lane.prepare(again).execute().finish(part).files) == 3


def test_every_object_becomes_a_cutout_at_its_place(lane: SegmenterLane, tmp_path: Path) -> None:
    source = two_objects(tmp_path / "two.png")
    part = tmp_path / "part"
    part.mkdir()

    outcome = lane.prepare(make_task(tmp_path, source)).execute().finish(part)

    assert [file.place for file in outcome.files] == [
        "cutouts/two/two_01.png", "cutouts/two/two_02.png", "cutouts/two/objects.json",
    ]  # fmt: skip
    for file in outcome.files:
        data = (part / file.name).read_bytes()
        assert (file.sha256, file.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    cut = np.asarray(Image.open(part / "two_01.png"))
    assert cut.shape == (120, 200, 4)
    kept = cut[..., 3] == 255
    assert np.array_equal(cut[kept][:, :3], np.asarray(Image.open(source))[kept])
    assert (outcome.files[0].facts["width_px"], outcome.files[0].facts["height_px"]) == (200, 120)
    assert outcome.record["objects"] == 2
    assert outcome.record["input_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert outcome.row == {"message": "2 objects"}


def test_what_cannot_be_seen_is_no_object_and_the_record_says_how_many(lane: SegmenterLane, tmp_path: Path) -> None:
    image = Image.open(two_objects(tmp_path / "two.png")).convert("RGBA")
    ImageDraw.Draw(image).rectangle((0, 0, 199, 119), fill=(90, 90, 90, 255))
    ImageDraw.Draw(image).ellipse((15, 20, 85, 100), fill=(90, 90, 90, 0))
    ImageDraw.Draw(image).rectangle((120, 30, 180, 95), fill=(30, 60, 190, 255))
    image.save(tmp_path / "two.png")
    (tmp_path / "part").mkdir()

    record = lane.prepare(make_task(tmp_path, tmp_path / "two.png")).execute().finish(tmp_path / "part").record

    assert (record["objects"], record["unseen_objects"]) == (1, 1)
    assert [one["bbox_xywh"] for one in record["found"]] == [[120, 30, 61, 66]]
    assert any("objects where an image is wholly transparent are left out" in text for text in record["remarks"])


def test_an_image_without_objects_is_a_good_result_without_files(lane: SegmenterLane, tmp_path: Path) -> None:
    source = tmp_path / "flat.png"
    Image.new("RGB", (100, 100), "white").save(source)
    (tmp_path / "part").mkdir()

    outcome = lane.prepare(make_task(tmp_path, source)).execute().finish(tmp_path / "part")

    assert outcome.files == ()
    assert outcome.record["objects"] == 0


def test_only_the_largest_are_kept_where_the_plan_says_so(lane: SegmenterLane, tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    task = make_task(tmp_path, two_objects(tmp_path / "two.png"), SegmentSettings(model="classical", top_n=1))

    assert lane.prepare(task).execute().finish(tmp_path / "part").record["objects"] == 1


def test_a_folder_of_the_users_is_left_alone(lane: SegmenterLane, tmp_path: Path) -> None:
    mine = tmp_path / "cutouts" / "two" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")

    with pytest.raises(PlanError, match="something of yours stands where"):
        lane.prepare(make_task(tmp_path, two_objects(tmp_path / "two.png")))


def test_a_job_planned_for_another_model_says_which(lane: SegmenterLane, tmp_path: Path) -> None:
    task = make_task(tmp_path, two_objects(tmp_path / "two.png"), SegmentSettings(model="vit_b"))

    with pytest.raises(ConfigurationError, match="planned for vit_b, and classical is open here"):
        lane.prepare(task)


def test_a_job_planned_with_other_options_gets_a_segmenter_with_those(lane: SegmenterLane, tmp_path: Path) -> None:
    source = two_objects(tmp_path / "two.png")
    other = SegmentSettings(model="classical", points_per_side=8)

    first = lane.prepare(make_task(tmp_path, source))
    second = lane.prepare(make_task(tmp_path, source, other))
    third = lane.prepare(make_task(tmp_path, source, other))

    assert first._segmenter is not second._segmenter
    assert second._segmenter is third._segmenter


def test_a_segmenter_is_not_shared_between_half_precision_and_float32() -> None:
    settings = SegmentSettings(model="vit_b")

    assert _finding(settings) != _finding(replace(settings, half=True))
    assert _finding(settings) == _finding(replace(settings, points_per_batch=1))


def test_inputs_that_are_missing_or_none_are_named(lane: SegmenterLane, tmp_path: Path) -> None:
    text = tmp_path / "notes.png"
    text.write_text("hello")

    with pytest.raises(PlanError, match="a segment job without an input"):
        lane.prepare(make_task(tmp_path, None))
    with pytest.raises(StorageError, match=r"gone\.png"):
        lane.prepare(make_task(tmp_path, tmp_path / "gone.png"))
    with pytest.raises(CodecError, match=r"notes\.png: not an image"):
        lane.prepare(make_task(tmp_path, text))


def test_a_cut_that_was_cancelled_does_not_begin(lane: SegmenterLane, tmp_path: Path) -> None:
    prepared = lane.prepare(make_task(tmp_path, two_objects(tmp_path / "two.png")))

    prepared.cancel()

    with pytest.raises(CancelledError, match="ended before it began"):
        prepared.execute()


def test_a_segmenter_says_what_it_is_and_has_no_server(lane: SegmenterLane) -> None:
    assert (lane.name, lane.dialect, lane.kinds) == ("classical", "classical", {"segment"})
    assert lane.server_rss_mb() is None
