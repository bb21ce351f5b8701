"""The step that asks a server, job by job, against both simulated servers."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from pydantic import JsonValue

from sdclient.batch.lane import Task
from sdclient.batch.plan import make_job
from sdclient.batch.record import Outcome
from sdclient.client import Client, WatchPolicy
from sdclient.client.sizes import parse_size
from sdclient.errors import CancelledError, CodecError, LossError, PlanError, ServerError, StorageError
from sdclient.images import GeneratedImage
from sdclient.infotext import parse_infotext, read_infotext
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.simulator import Simulator
from sdclient.steps.generate import GenerateSpec, ServerLane, output_place
from tests.integration.scripted_server import TXT2IMG, base_url, images, png, scripted

SMALL = Txt2Img(prompt="a fox", width=128, height=128, steps=2, inherit=True)
OVER = Img2Img(prompt="a fox", steps=2, denoising_strength=0.3, inherit=True)


@pytest.fixture(scope="module", params=["a1111", "drawthings"])
def server(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with Simulator(str(request.param)) as running:
        yield running


@pytest.fixture
def lane(server: Simulator) -> ServerLane:
    return ServerLane(Client(server.url))


def make_task(
    out: Path,
    spec: GenerateSpec,
    *,
    place: str = "generated/fox",
    changes: Mapping[str, JsonValue] | None = None,
    source: Path | None = None,
) -> Task:
    written = json.loads(json.dumps(spec.to_json()))
    job = make_job(spec.request.kind, place, written, changes=changes)
    return Task(job, written, 1, 4242, source, out)


def run(lane: ServerLane, task: Task, part: Path) -> Outcome:
    part.mkdir(exist_ok=True)
    return lane.prepare(task).execute().finish(part)


def write_image(path: Path, size: tuple[int, int]) -> Path:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, "PNG")
    path.write_bytes(file.getvalue())
    return path


def last_body(server: Simulator) -> dict[str, object]:
    body = [exchange.body for exchange in server.log if exchange.method == "POST"][-1]
    assert isinstance(body, dict)
    return dict(body)


# ---- txt2img ----


def test_a_job_writes_its_image_under_its_place_with_the_seed_of_the_run(lane: ServerLane, tmp_path: Path) -> None:
    outcome = run(lane, make_task(tmp_path, GenerateSpec(SMALL)), tmp_path / "part")

    (file,) = outcome.files
    data = (tmp_path / "part" / "fox_1.png").read_bytes()
    assert (file.name, file.place) == ("fox_1.png", "generated/fox_1.png")
    assert (file.sha256, file.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (file.facts["width_px"], file.facts["height_px"], file.facts["seed"]) == (128, 128, 4242)
    assert outcome.row == {"seed": "4242"}
    assert outcome.record["simulated"] is True
    assert parse_infotext(read_infotext(data) or "").get_int("Seed") == 4242


def test_changes_of_a_job_win_over_its_spec_and_a_seed_of_its_own_over_the_runs(
    lane: ServerLane, server: Simulator, tmp_path: Path
) -> None:
    task = make_task(tmp_path, GenerateSpec(SMALL), changes={"prompt": "a bear", "seed": 9})

    outcome = run(lane, task, tmp_path / "part")

    assert outcome.record["seed"] == 9
    assert last_body(server)["prompt"] == "a bear"


def test_a_seed_in_an_overlay_wins_over_the_runs(lane: ServerLane, tmp_path: Path) -> None:
    spec = GenerateSpec(SMALL.replace(overlays={lane.dialect: {"seed": 99}}))

    assert run(lane, make_task(tmp_path, spec), tmp_path / "part").record["seed"] == 99


def test_a_prepared_job_tells_the_seed_that_will_be_sent(lane: ServerLane, tmp_path: Path) -> None:
    own = make_task(tmp_path, GenerateSpec(SMALL), changes={"seed": 9})

    assert lane.prepare(make_task(tmp_path, GenerateSpec(SMALL))).seed == 4242
    assert lane.prepare(own).seed == 9


def test_every_image_of_a_job_has_a_number(lane: ServerLane, tmp_path: Path) -> None:
    outcome = run(lane, make_task(tmp_path, GenerateSpec(SMALL.replace(n_iter=2))), tmp_path / "part")

    assert [file.place for file in outcome.files] == ["generated/fox_1.png", "generated/fox_2.png"]
    assert GenerateSpec(SMALL.replace(n_iter=2)).images_per_job == 2


def test_the_record_says_what_was_sent_and_lost_and_holds_no_image_no_host_and_no_path(
    lane: ServerLane, tmp_path: Path
) -> None:
    source = write_image(tmp_path / "in.png", (128, 128))
    task = make_task(tmp_path, GenerateSpec(OVER.replace(subseed=3, tiling=True)), source=source)

    record = run(lane, task, tmp_path / "part").record

    text = json.dumps(record)
    assert "127.0.0.1" not in text
    assert str(tmp_path) not in text
    assert "iVBO" not in text
    assert "image, " in str(record["request"])
    assert record["input"] == "in.png"
    assert record["input_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert bool(record["losses"]) is True
    assert record["changed"] == []


def test_the_server_is_told_which_try_it_is_where_it_listens(
    lane: ServerLane, server: Simulator, tmp_path: Path
) -> None:
    task = make_task(tmp_path, GenerateSpec(SMALL))

    run(lane, task, tmp_path / "part")

    expected = task.attempt_id if server.dialect == "a1111" else None
    assert last_body(server).get("force_task_id") == expected


# ---- img2img ----


def test_an_odd_input_is_padded_sent_and_cropped_back(lane: ServerLane, server: Simulator, tmp_path: Path) -> None:
    source = write_image(tmp_path / "in.png", (200, 150))

    outcome = run(lane, make_task(tmp_path, GenerateSpec(OVER), source=source), tmp_path / "part")

    step = 64 if server.dialect == "drawthings" else 8
    body = last_body(server)
    assert (body["width"], body["height"]) == (-(-200 // step) * step, -(-150 // step) * step)
    assert (outcome.files[0].facts["width_px"], outcome.files[0].facts["height_px"]) == (200, 150)
    assert GeneratedImage.from_bytes((tmp_path / "part" / "fox_1.png").read_bytes()).size == (200, 150)
    assert bool(outcome.record.get("padded_from")) is (body["height"] != 150)


def test_the_size_of_the_plan_wins_over_the_size_of_the_request(
    lane: ServerLane, server: Simulator, tmp_path: Path
) -> None:
    source = write_image(tmp_path / "in.png", (128, 128))
    spec = GenerateSpec(OVER.replace(width=512, height=512), parse_size("256x256"), "crop")

    run(lane, make_task(tmp_path, spec, source=source), tmp_path / "part")

    assert (last_body(server)["width"], last_body(server)["height"]) == (256, 256)


def test_an_input_that_fits_goes_out_untouched(lane: ServerLane, server: Simulator, tmp_path: Path) -> None:
    source = write_image(tmp_path / "in.png", (128, 128))

    run(lane, make_task(tmp_path, GenerateSpec(OVER), source=source), tmp_path / "part")

    assert last_body(server)["init_images"] == [base64.b64encode(source.read_bytes()).decode()]


def test_a_spec_survives_the_way_through_a_plan() -> None:
    for spec in (GenerateSpec(SMALL), GenerateSpec(OVER, parse_size("scale=2"), "crop"), GenerateSpec(OVER)):
        assert GenerateSpec.from_json(spec.request.kind, json.loads(json.dumps(spec.to_json()))) == spec


# ---- refused before anything is spent ----


def test_one_of_the_users_files_at_the_final_place_is_never_drawn_over(
    lane: ServerLane, server: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "generated").mkdir()
    mine = tmp_path / "generated" / "fox_2.jpg"
    mine.write_bytes(b"mine")
    before = len(server.log)

    with pytest.raises(PlanError, match=r"fox_2\.jpg: a file of yours stands where.*retry"):
        lane.prepare(make_task(tmp_path, GenerateSpec(SMALL.replace(n_iter=2))))

    assert not [exchange for exchange in server.log[before:] if exchange.method == "POST"]
    assert mine.read_bytes() == b"mine"


def test_an_input_that_is_no_image_is_named(lane: ServerLane, tmp_path: Path) -> None:
    source = tmp_path / "notes.png"
    source.write_text("hello")

    with pytest.raises(CodecError, match=r"notes\.png: not an image"):
        lane.prepare(make_task(tmp_path, GenerateSpec(OVER), source=source))


def test_an_input_that_went_away_is_trouble_with_the_disk(lane: ServerLane, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone\.png"):
        lane.prepare(make_task(tmp_path, GenerateSpec(OVER), source=tmp_path / "gone.png"))


def test_a_size_that_the_shape_of_an_input_keeps_from_is_on_the_record(lane: ServerLane, tmp_path: Path) -> None:
    source = write_image(tmp_path / "square.png", (128, 128))
    asked = OVER.replace(width=256, height=128)

    kept, cropped = (
        run(lane, make_task(tmp_path, GenerateSpec(request), place=f"generated/{name}", source=source), tmp_path / name)
        for name, request in (("kept", asked), ("cropped", asked.replace(resize_mode=1)))
    )

    sizes = [(one.files[0].facts["width_px"], one.files[0].facts["height_px"]) for one in (kept, cropped)]
    assert sizes == [(128, 128), (256, 128)]
    assert "256 is asked for and 128 drawn" in str(kept.record["losses"])
    assert "256 is asked for" not in str(cropped.record["losses"])


def test_an_img2img_job_without_an_input_is_a_wrong_plan(lane: ServerLane, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="img2img job without an input"):
        lane.prepare(make_task(tmp_path, GenerateSpec(OVER)))


def test_what_the_server_cannot_do_is_refused(lane: ServerLane, tmp_path: Path) -> None:
    with pytest.raises(LossError, match="no_such_sampler"):
        lane.prepare(make_task(tmp_path, GenerateSpec(SMALL.replace(sampler_name="no_such_sampler"))))


# ---- while it runs ----


def test_a_running_job_can_be_cancelled(tmp_path: Path) -> None:
    with Simulator("a1111", delay_s=30) as server:
        lane = ServerLane(Client(server.url))
        prepared = lane.prepare(make_task(tmp_path, GenerateSpec(SMALL)))
        errors: list[Exception] = []

        def execute() -> None:
            try:
                prepared.execute()
            except CancelledError as exc:
                errors.append(exc)

        thread = threading.Thread(target=execute)
        thread.start()
        while not lane.client.progress().job_count:
            time.sleep(0.01)
        prepared.cancel()
        thread.join(5)

    assert len(errors) == 1


class OftenAsked(ServerLane):
    """A server that is asked for progress more often than usual."""

    def watch_policy(self) -> WatchPolicy:
        return replace(super().watch_policy(), interval_s=0.02)


def test_a_request_that_waited_behind_somebody_elses_is_known_until_the_next_that_did_not(tmp_path: Path) -> None:
    with Simulator("a1111", delay_s=0.4) as server:
        client = Client(server.url)
        lane = OftenAsked(client)
        task = make_task(tmp_path, GenerateSpec(SMALL))
        somebody = threading.Thread(target=lambda: client.txt2img(SMALL))
        somebody.start()
        while not client.progress().job_count:
            time.sleep(0.01)
        before = lane.has_waited()
        lane.prepare(task).execute()
        behind = lane.has_waited()
        somebody.join()
        lane.prepare(task).execute()

    assert (before, behind, lane.has_waited()) == (False, True, False)


def test_how_long_a_server_may_stand_still_follows_its_own_times(lane: ServerLane) -> None:
    first = lane.watch_policy().stall_s
    lane.note_time(10.0)
    quick = lane.watch_policy().stall_s
    for _ in range(5):
        lane.note_time(100.0)
    slow = lane.watch_policy().stall_s

    assert (first, quick, slow) == (600.0, 120.0, 500.0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system may not show whose a port is")
def test_a_local_server_tells_its_memory_and_one_elsewhere_does_not(lane: ServerLane) -> None:
    # Its port is one that somebody listens at here, too.
    elsewhere = ServerLane(Client(f"http://192.0.2.1:{lane.client.address.port}", dialect="a1111"))

    assert (lane.server_rss_mb() or 0) > 1
    assert elsewhere.server_rss_mb() is None


def test_a_lane_is_named_by_its_servers_address(lane: ServerLane) -> None:
    assert lane.name == f"127.0.0.1:{lane.client.address.port}"
    assert lane.kinds == {"txt2img", "img2img"}


def test_nonsense_from_the_server_writes_no_file(tmp_path: Path) -> None:
    part = tmp_path / "part"
    with scripted({TXT2IMG: images(png(64, 64))}) as server, pytest.raises(ServerError, match="64x64, 128x128"):
        run(ServerLane(Client(base_url(server))), make_task(tmp_path, GenerateSpec(SMALL)), part)

    assert list(part.iterdir()) == []


def test_what_the_server_did_otherwise_is_in_the_record(tmp_path: Path) -> None:
    told = {"seed": 8, "all_seeds": [8], "steps": 20}
    with scripted({TXT2IMG: images(png(128, 128), info=told)}) as server:
        task = replace(make_task(tmp_path, GenerateSpec(SMALL)), seed=1)
        record = run(ServerLane(Client(base_url(server))), task, tmp_path / "part").record

    assert record["changed"] == [
        {"field": "steps", "asked": 2, "applied": 20},
        {"field": "seed", "asked": 1, "applied": 8},
    ]


def test_the_extension_follows_the_bytes_received(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((128, 128)).convert("RGB").save(file, "WEBP")
    with scripted({TXT2IMG: images(file.getvalue())}) as server:
        task = replace(make_task(tmp_path, GenerateSpec(SMALL)), seed=1)
        outcome = run(ServerLane(Client(base_url(server))), task, tmp_path / "part")

    assert outcome.files[0].place == output_place("generated/fox", 1, ".webp")
    assert "simulated" not in outcome.record
    assert outcome.files[0].facts["received_sha256"] == hashlib.sha256(file.getvalue()).hexdigest()
