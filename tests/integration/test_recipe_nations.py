"""``sdclient nations`` as a person uses it: typed through a pipe or a terminal, run, and run again."""

from __future__ import annotations

import csv
import hashlib
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from sdclient.images import inspect_image
from sdclient.infotext import parse_infotext, read_infotext
from sdclient.simulator import Simulator
from tests.conftest import CommandLine, Ended
from tests.integration.relay import Relay
from tests.integration.terminal import Terminal

SMALL = (
    *("--set", "hires=null", "--set", "width=128", "--set", "height=128", "--set", "enlarge=null"),
    *("--set", "refiner=null", "--set", "steps=4"),
    *("--bake-set", "width=128", "--bake-set", "height=128", "--bake-set", "tiled=null", "--bake-set", "steps=4"),
)
QUEUE = "nation,category,count\nItalian,family,1\nGreek,family,1\n"


def tree(folder: Path) -> list[str]:
    """List the images of a study, without its state."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*.png") if ".sdclient" not in path.parts
    )


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def posts(server: Simulator) -> list[str]:
    return [one.path.rpartition("/")[2] for one in server.log if one.method == "POST"]


def planned(cli: CommandLine, text: str = QUEUE) -> str:
    (cli.folder / "queue.csv").write_text(text)
    return "queue.csv"


def study(cli: CommandLine, server: str, *more: str, queue: str = QUEUE) -> Ended:
    """Run a planned queue into STUDY without cut-outs."""
    plan = ("--plan", planned(cli, queue), "--cutouts", "none", "--out", "STUDY", "--url", server)
    return cli("nations", *plan, *SMALL, *more)


# ---- the queue, typed ----


def test_a_queue_typed_into_a_pipe_is_printed_back_and_made(cli: CommandLine, draw_things: Simulator) -> None:
    answers = "6\nfamily\n2\ngreek\nworking\n1\ndone\n"

    ended = cli("nations", "--out", "STUDY", "--url", draw_things.url, *SMALL, answers=answers)

    assert ended.code == 0
    assert "   1.  Croatian\n" in ended.stderr
    assert "  1.  Italian  family   2\n  2.  Greek    working  1\n" in ended.stderr
    assert "no cut-outs are made, as none were asked for" in ended.stderr
    assert tree(cli.folder / "STUDY") == [
        "baked/Greek/working/Greek_working_1_1_upscaled_1.png",
        "baked/Italian/family/Italian_family_1_1_upscaled_1.png",
        "baked/Italian/family/Italian_family_2_1_upscaled_1.png",
        "generated/Greek/working/Greek_working_1_1.png",
        "generated/Italian/family/Italian_family_1_1.png",
        "generated/Italian/family/Italian_family_2_1.png",
    ]
    assert Counter(posts(draw_things)) == {"txt2img": 3, "img2img": 3}


def test_wrong_answers_are_asked_again_and_a_repeated_entry_means_more(cli: CommandLine) -> None:
    answers = "\n99\nItalien\nItalian\nfamly\nfamily\nmany\n0\n2\nitalian\n1\n3\nDONE\nvit_x\nnone\n"

    ended = cli("nations", "--out", "STUDY", "--url", "http://127.0.0.1:1", answers=answers)

    assert ended.code == 3
    assert "99: no such number of a nation; choose 1 to 10" in ended.stderr
    assert "'Italien': no such nation; did you mean Italian?" in ended.stderr
    assert "'famly': no such category; did you mean family?" in ended.stderr
    assert "'many': not a number of images" in ended.stderr
    assert "'0': not a number of images" in ended.stderr
    assert "Italian family was in the queue with 2: 3 more, 5 in all" in ended.stderr
    assert "  1.  Italian  family  5\n" in ended.stderr
    assert "segmentation model 'vit_x': there is no such file" in ended.stderr


@pytest.mark.parametrize("answers", ["", "6\n", "6\nfamily\n", "6\nfamily\n1\n", "6\nfamily\n1"])
def test_answers_that_end_before_done_plan_nothing(cli: CommandLine, answers: str) -> None:
    ended = cli("nations", "--out", "STUDY", "--url", "http://127.0.0.1:1", answers=answers)

    assert ended.code == 2
    assert "and nothing was planned; end them with a line that says done, or give --plan FILE" in ended.stderr
    assert not (cli.folder / "STUDY").exists()


def test_done_at_once_is_an_empty_queue(cli: CommandLine) -> None:
    ended = cli("nations", "--out", "STUDY", answers="done\n")

    assert ended.code == 0
    assert "the queue is empty; nothing to do" in ended.stderr
    assert not (cli.folder / "STUDY").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_person_at_a_terminal_is_asked_for_cutouts_and_may_err(cli: CommandLine, draw_things: Simulator) -> None:
    with Terminal(cli, "nations", "--out", "STUDY", "--url", draw_things.url, *SMALL) as terminal:
        for question, answer in [
            ("Number of the nation (or 'done' to start): ", "5"),
            ("Category (family or working): ", "family"),
            ("How many images: ", "1"),
            ("Number of the nation (or 'done' to start): ", "done"),
            ("or a checkpoint file [none]: ", "gone.pth"),
            ("or a checkpoint file [none]: ", "classical"),
        ]:
            terminal.until(question)
            terminal.type(answer + "\n")
        terminal.until("3 of 3 jobs done")
        code = terminal.ended()

    assert code == 0
    assert [path for path in tree(cli.folder / "STUDY") if path.startswith("cutouts/Greek/family/Greek_family_1_1_ups")]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
@pytest.mark.parametrize("question", ["Number of the nation", "Cut the objects out?"])
def test_ctrl_c_at_a_question_stops_and_plans_nothing(cli: CommandLine, question: str) -> None:
    """At the last question too, where the end of the answers means "none"."""
    with Terminal(cli, "nations", "--out", "STUDY", "--url", "http://127.0.0.1:1") as terminal:
        if question != "Number of the nation":
            terminal.type("5\nfamily\n1\ndone\n")
        terminal.until(question)
        terminal.until(": ")
        terminal.press_ctrl_c("stopped")
        code = terminal.ended()

    assert code == 130
    assert not (cli.folder / "STUDY").exists()


# ---- the queue, from a file ----


def test_a_plan_file_needs_no_answers_and_makes_no_cutouts_unasked(cli: CommandLine, draw_things: Simulator) -> None:
    ended = cli("nations", "--plan", planned(cli), "--out", "STUDY", "--url", draw_things.url, "--no-bake", *SMALL)

    assert ended.code == 0
    assert "no cut-outs are made, as none were asked for; say --cutouts vit_b, classical or none" in ended.stderr
    assert posts(draw_things) == ["txt2img", "txt2img"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_plan_file_asks_nothing_at_a_terminal_either(cli: CommandLine, draw_things: Simulator) -> None:
    """Started in the evening and left alone, a question would still be there in the morning."""
    command = ("nations", "--plan", planned(cli), "--out", "STUDY", "--url", draw_things.url, "--no-bake", *SMALL)

    with Terminal(cli, *command) as terminal:
        terminal.until("no cut-outs are made, as none were asked for")
        terminal.until("2 of 2 jobs done")
        code = terminal.ended()

    assert code == 0


def test_the_same_queue_again_sends_nothing_and_a_larger_one_the_rest(cli: CommandLine, a1111: Simulator) -> None:
    """The original began at 1 again with every run, and wrote over the images and the table of the run before."""
    study(cli, a1111.url)
    before = {name: (cli.folder / "STUDY" / name).stat().st_mtime_ns for name in tree(cli.folder / "STUDY")}
    sent = len(posts(a1111))

    again = study(cli, a1111.url)
    sent_again = len(posts(a1111)) - sent
    more = study(cli, a1111.url, queue=QUEUE + "Greek,family,1\n")

    assert (again.code, sent_again) == (0, 0)
    assert "4 jobs planned in STUDY before, and 2 new jobs now: counts are in all" in more.stderr
    assert len(posts(a1111)) - sent == 2
    assert all((cli.folder / "STUDY" / name).stat().st_mtime_ns == then for name, then in before.items())
    assert len(table(cli.folder / "STUDY" / "images.csv")) == 6


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("--cutouts", "classical", "--cutouts-set", "tops=3"), "did you mean top?"),
        (("--cutouts", "none", "--cutouts-set", "top=3"), "--cutouts none cuts nothing out"),
    ],
)
def test_how_a_study_is_cut_out_is_checked_before_anything_is_planned(
    cli: CommandLine, sets: tuple[str, ...], said: str
) -> None:
    ended = cli("nations", "--plan", planned(cli), "--out", "STUDY", *sets)

    assert ended.code == 2
    assert said in ended.stderr
    assert not (cli.folder / "STUDY" / ".sdclient").exists()


def test_a_segmenter_that_is_not_there_is_refused_before_it_enters_the_plan(cli: CommandLine) -> None:
    ended = cli("nations", "--plan", planned(cli), "--cutouts", "gone.pth", "--out", "STUDY")

    assert ended.code == 2
    assert "'gone.pth': there is no such file" in ended.stderr
    assert not (cli.folder / "STUDY").exists()


@pytest.mark.parametrize("option", ["--set", "--bake-set"])
def test_a_slip_in_a_model_does_not_enter_the_plan(cli: CommandLine, a1111: Simulator, option: str) -> None:
    wrong = study(cli, a1111.url, option, "model=gone")

    right = study(cli, a1111.url)

    assert (wrong.code, right.code) == (2, 0)
    assert "gone" in wrong.stderr
    assert len(tree(cli.folder / "STUDY")) == 4


def test_another_seed_for_a_study_that_has_begun_is_refused(cli: CommandLine, draw_things: Simulator) -> None:
    study(cli, draw_things.url, "--seed", "5", "--no-bake")

    ended = study(cli, draw_things.url, "--seed", "6", "--no-bake")

    assert ended.code == 2
    assert "STUDY: was begun with --seed 5, which does not change; leave --seed out" in ended.stderr


def test_paired_seeds_give_nations_the_same_seeds_and_the_server_gets_them(
    cli: CommandLine, draw_things: Simulator
) -> None:
    study(cli, draw_things.url, "--paired-seeds", queue="nation,category,count\nItalian,family,2\nGreek,family,2\n")

    rows = table(cli.folder / "STUDY" / "images.csv")
    seeds = {(row["nation"], row["kind"], row["image"][-20:]): row["seed"] for row in rows}
    sent = Counter(one.body["seed"] for one in draw_things.log if one.method == "POST" and isinstance(one.body, dict))
    assert len(seeds) == 8
    assert sorted(sent.values()) == [2, 2, 2, 2]
    assert Counter(map(int, seeds.values())) == sent


def test_a_study_goes_on_paired_where_the_option_is_forgotten(cli: CommandLine, draw_things: Simulator) -> None:
    study(cli, draw_things.url, "--paired-seeds", "--no-bake", queue="nation,category,count\nItalian,family,2\n")

    more = "nation,category,count\nItalian,family,2\nGreek,family,2\n"
    ended = study(cli, draw_things.url, "--no-bake", queue=more)

    rows = table(cli.folder / "STUDY" / "images.csv")
    seeds = {nation: [row["seed"] for row in rows if row["nation"] == nation] for nation in ("Italian", "Greek")}
    assert ended.code == 0
    assert "STUDY: was begun with --paired-seeds; new images are paired, too" in ended.stderr
    assert seeds["Italian"] == seeds["Greek"]


def test_pairing_a_study_that_was_begun_without_is_refused_in_words(cli: CommandLine, draw_things: Simulator) -> None:
    study(cli, draw_things.url, "--no-bake")

    ended = study(cli, draw_things.url, "--no-bake", "--paired-seeds")

    assert ended.code == 2
    assert "STUDY: was begun without --paired-seeds" in ended.stderr
    assert "leave --paired-seeds out, or use another folder" in ended.stderr
    assert len(posts(draw_things)) == 2


def test_a_redo_with_new_seeds_does_not_pass_for_pairing(cli: CommandLine, draw_things: Simulator) -> None:
    study(cli, draw_things.url, "--no-bake")
    cli("redo", "STUDY", "*", "--new-seed")

    ended = study(cli, draw_things.url, "--no-bake")

    assert ended.code == 0
    assert "paired" not in ended.stderr


def test_nothing_written_or_sent_names_a_folder_of_this_machine_and_a_moved_study_goes_on(
    cli: CommandLine, draw_things: Simulator
) -> None:
    """The original's scripts held paths of two machines, one of them misspelt."""
    study(cli, draw_things.url, "--export-emif")
    here = str(cli.folder).encode()
    written = [path for path in (cli.folder / "STUDY").rglob("*") if path.is_file()]
    sent = [str(one.body).encode() for one in draw_things.log]

    (cli.folder / "elsewhere").mkdir()
    (cli.folder / "STUDY").rename(cli.folder / "elsewhere/MOVED")
    plan = ("--plan", "queue.csv", "--cutouts", "none", "--out", "elsewhere/MOVED", "--url", draw_things.url)
    ended = cli("nations", *plan, *SMALL, "--export-emif")

    moved = [cli.folder / "elsewhere/MOVED" / path.relative_to(cli.folder / "STUDY") for path in written]
    assert {path.name for path in moved} >= {"image_data.csv", "metrics.csv", "images.csv", "run.json", "record.json"}
    assert not [path for path in moved if here in path.read_bytes()]
    assert not [body for body in sent if here in body]
    assert (ended.code, len(posts(draw_things))) == (0, 4)


def test_a_data_set_of_ones_own_is_drawn_with_an_ending_of_ones_own(cli: CommandLine, draw_things: Simulator) -> None:
    (cli.folder / "mars.csv").write_text("nation,category,prompt\nMars,home,a red house\n")
    queue = "nation,category,count\nMars,home,1\n"

    study(cli, draw_things.url, "--study", "mars.csv", "--suffix", "at dusk", "--no-bake", queue=queue)

    image = (cli.folder / "STUDY" / "generated/Mars/home/Mars_home_1_1.png").read_bytes()
    assert parse_infotext(read_infotext(image) or "").prompt == "a red house, at dusk"


def test_other_columns_of_a_data_set_stand_in_the_tables_of_images(cli: CommandLine, draw_things: Simulator) -> None:
    (cli.folder / "mars.csv").write_text("nation,category,prompt,region,number\nMars,home,a red house,outer,9\n")
    queue = "nation,category,count\nMars,home,1\n"

    study(cli, draw_things.url, "--study", "mars.csv", queue=queue)

    rows = table(cli.folder / "STUDY" / "images.csv")
    assert [(row["kind"], row["region"], row["number"]) for row in rows] == [
        ("txt2img", "outer", "1"),
        ("img2img", "outer", "1"),
    ]


def test_every_image_carries_its_prompt_and_seed(cli: CommandLine, draw_things: Simulator) -> None:
    """Draw Things sends none of that, and the original recorded none of it."""
    study(cli, draw_things.url)

    rows = {row["image"]: row for row in table(cli.folder / "STUDY" / "images.csv")}
    for name in tree(cli.folder / "STUDY"):
        found = parse_infotext(read_infotext((cli.folder / "STUDY" / name).read_bytes()) or "")
        assert found.prompt == rows[name]["prompt"] != ""
        assert found.fields["Seed"] == rows[name]["seed"]


def test_two_workers_on_one_study_share_it_and_draw_nothing_twice(cli: CommandLine, draw_things: Simulator) -> None:
    """The originals read their log once at the start, and then both did everything that was left."""
    queue = "nation,category,count\nItalian,family,4\nGreek,working,4\n"
    command = ("nations", "--plan", planned(cli, queue), "--cutouts", "none", "--out", "STUDY")

    workers = [cli.start(*command, "--url", draw_things.url, *SMALL) for _ in range(2)]
    codes = []
    for worker in workers:
        worker.communicate(timeout=120)
        codes.append(worker.returncode)

    attempts = table(cli.folder / "STUDY" / "attempts.csv")
    assert codes == [0, 0]
    assert Counter(posts(draw_things)) == {"txt2img": 8, "img2img": 8}
    assert len(tree(cli.folder / "STUDY")) == 16
    assert Counter(row["job"] for row in attempts if row["status"] == "done").most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    "answer",
    [
        (200, b'{"error": "HTTPException", "detail": "out of memory", "body": "", "errors": ""}'),
        (200, b'{"images": []}'),
        (500, b'{"error": "RuntimeError", "detail": "", "body": "", "errors": "tensor"}'),
    ],
    ids=["an error instead of images", "no images", "500"],
)
@pytest.mark.parametrize("number", [1, 2], ids=["generate", "bake"])
def test_an_answer_without_images_is_never_a_done_image(
    cli: CommandLine, a1111: Simulator, answer: tuple[int, bytes], number: int
) -> None:
    """The original's queue died of it when generating; when baking it was measured, logged as done, and never retried."""
    with Relay(a1111.url, {number: answer}) as relay:
        ended = study(cli, relay.url, "--export-emif", queue="nation,category,count\nItalian,family,1\n")

    attempts = table(cli.folder / "STUDY" / "attempts.csv")
    assert ended.code == 0
    assert sorted(row["status"] for row in attempts) == ["done", "done", "failed"]
    assert len(relay.bodies) == 3
    assert len(table(cli.folder / "STUDY" / "metrics.csv")) == 1
    images = [(cli.folder / "STUDY" / name).read_bytes() for name in tree(cli.folder / "STUDY")]
    assert [inspect_image(data).size for data in images] == [(128, 128)] * 2


# ---- EMIF's own tables ----


def test_emifs_tables_have_its_columns_with_paths_and_hashes(cli: CommandLine, draw_things: Simulator) -> None:
    """The original put megabytes of base64 into every row, which Python's own csv reader then refused."""
    ended = study(cli, draw_things.url, "--export-emif")

    out = cli.folder / "STUDY"
    data, metrics = table(out / "image_data.csv"), table(out / "metrics.csv")
    assert ended.code == 0
    assert list(data[0])[:5] == ["Nation", "Category", "Filename", "CPU Usage (%)", "RAM Usage (MB)"]
    assert list(metrics[0])[:4] == ["Filename", "RAM Usage (MB)", "CPU Usage (%)", "Time (s)"]
    assert {(row["Nation"], row["Category"], row["Filename"]) for row in data} == {
        ("Italian", "family", "Italian_family_1_1.png"),
        ("Greek", "family", "Greek_family_1_1.png"),
    }
    for row in [*data, *metrics]:
        assert hashlib.sha256((out / row["Path"]).read_bytes()).hexdigest() == row["SHA256"]
    assert {row["Path"] for row in [*data, *metrics]} == set(tree(out))


def test_emifs_figures_were_measured_during_the_request(cli: CommandLine) -> None:
    """The original measured before it, and its generations had no time at all."""
    with Simulator("drawthings", delay_s=0.6) as slow:
        study(cli, slow.url, "--export-emif", queue="nation,category,count\nItalian,family,1\n")

    (data,) = table(cli.folder / "STUDY" / "image_data.csv")
    (metrics,) = table(cli.folder / "STUDY" / "metrics.csv")
    assert float(metrics["Time (s)"]) >= 0.6
    assert all(float(row["RAM Usage (MB)"]) > 0 for row in (data, metrics))
    assert all(0 <= float(row["CPU Usage (%)"]) <= 100 * (os.cpu_count() or 1) for row in (data, metrics))


def test_equal_file_names_in_two_folders_stay_two_images(cli: CommandLine, draw_things: Simulator) -> None:
    """The original's log held base names alone, so that the second counted as done."""
    (cli.folder / "set.csv").write_text("nation,category,prompt\nA,b_c,a house\nA_b,c,a tree\n")
    queue = "nation,category,count\nA,b_c,1\nA_b,c,1\n"

    study(cli, draw_things.url, "--study", "set.csv", "--export-emif", queue=queue)

    rows = table(cli.folder / "STUDY" / "metrics.csv")
    assert [row["Filename"] for row in rows] == ["A_b_c_1_1_upscaled_1.png"] * 2
    assert len({row["Path"] for row in rows}) == len({row["SHA256"] for row in rows}) == 2


def test_the_tables_are_made_again_alone_without_questions_or_a_server(
    cli: CommandLine, draw_things: Simulator
) -> None:
    study(cli, draw_things.url, "--export-emif")
    out = cli.folder / "STUDY"
    before = [(out / name).read_bytes() for name in ("image_data.csv", "metrics.csv")]
    for name in ("image_data.csv", "metrics.csv"):
        (out / name).unlink()

    ended = cli("nations", "--out", "STUDY", "--export-emif")

    assert ended.code == 0
    assert f"written: {Path('STUDY') / 'image_data.csv'}" in ended.stderr
    assert [(out / name).read_bytes() for name in ("image_data.csv", "metrics.csv")] == before


def test_tables_of_a_folder_without_a_study_are_refused_without_questions(cli: CommandLine) -> None:
    ended = cli("nations", "--out", "TYPO", "--export-emif")

    assert ended.code == 2
    assert "TYPO: holds no study to write EMIF's tables of; to make one, too, give --plan FILE" in ended.stderr
    assert "Nations:" not in ended.stderr
    assert not (cli.folder / "TYPO").exists()


def test_tables_of_a_run_that_is_no_study_are_refused(cli: CommandLine, draw_things: Simulator) -> None:
    (cli.folder / "p.txt").write_text("a fox\n")
    small = ("--set", "width=64", "--set", "height=64", "--set", "steps=1", "--set", "inherit=true")
    cli("generate", "p.txt", "--out", "FOXES", "--url", draw_things.url, *small)

    ended = cli("nations", "--out", "FOXES", "--export-emif")

    assert ended.code == 2
    assert "FOXES: holds no study to write EMIF's tables of" in ended.stderr
    assert not list((cli.folder / "FOXES").glob("*data.csv"))


@pytest.mark.parametrize("name", ["image_data.csv", "metrics.csv"])
def test_an_older_table_of_emifs_is_left_as_it_is_and_told_before_anything_is_drawn(
    cli: CommandLine, draw_things: Simulator, name: str
) -> None:
    """Its columns are the same, and it may hold years of measurements."""
    (cli.folder / "STUDY").mkdir()
    (cli.folder / "STUDY" / name).write_bytes(b"Nation,Category,Base64 Code,Filename\nItalian,family,aGk=,old.png\n")

    ended = study(cli, draw_things.url, "--export-emif", "--no-bake")

    assert ended.code == 2
    assert f"{Path('STUDY') / name}: was not written by this run, or was changed since, and is left" in ended.stderr
    assert [path.name for path in (cli.folder / "STUDY").iterdir()] == [name]
    assert b"old.png" in (cli.folder / "STUDY" / name).read_bytes()
    assert posts(draw_things) == []


def test_a_table_that_was_changed_since_is_left_as_it_is(cli: CommandLine, draw_things: Simulator) -> None:
    study(cli, draw_things.url, "--export-emif", "--no-bake")
    metrics = cli.folder / "STUDY" / "metrics.csv"
    metrics.write_bytes(metrics.read_bytes() + b"mine\n")
    data = (cli.folder / "STUDY" / "image_data.csv").stat().st_mtime_ns

    ended = cli("nations", "--out", "STUDY", "--export-emif")

    assert ended.code == 2
    assert "rename it, and the same command writes the run's own" in ended.stderr
    assert metrics.read_bytes().endswith(b"mine\n")
    assert (cli.folder / "STUDY" / "image_data.csv").stat().st_mtime_ns == data


def test_the_images_themselves_are_in_the_table_only_when_asked_for(cli: CommandLine, draw_things: Simulator) -> None:
    import base64

    study(cli, draw_things.url, "--export-emif", "--base64", "--no-bake")

    limit = csv.field_size_limit(10_000_000)
    try:
        rows = table(cli.folder / "STUDY" / "image_data.csv")
    finally:
        csv.field_size_limit(limit)
    assert list(rows[0])[:4] == ["Nation", "Category", "Base64 Code", "Filename"]
    for row in rows:
        assert base64.b64decode(row["Base64 Code"]) == (cli.folder / "STUDY" / row["Path"]).read_bytes()


def test_base64_without_the_table_it_goes_into_is_refused(cli: CommandLine) -> None:
    ended = cli("nations", "--plan", planned(cli), "--out", "STUDY", "--base64")

    assert ended.code == 2
    assert "--base64 puts images into EMIF's table; say --export-emif, too" in ended.stderr


def test_an_image_that_is_gone_leaves_the_table_of_before(cli: CommandLine, draw_things: Simulator) -> None:
    study(cli, draw_things.url, "--export-emif", "--no-bake")
    out = cli.folder / "STUDY"
    before = (out / "image_data.csv").read_bytes()
    (out / "generated/Greek/family/Greek_family_1_1.png").unlink()

    ended = cli("nations", "--out", "STUDY", "--export-emif", "--base64")

    assert ended.code == 2
    assert "Greek_family_1_1.png: the image cannot be read (No such file or directory); bring it back" in ended.stderr
    assert (out / "image_data.csv").read_bytes() == before
    assert not list(out.glob(".tmp-*"))


def test_a_study_that_is_planned_otherwise_is_told_before_weights_are_fetched(
    cli: CommandLine, draw_things: Simulator
) -> None:
    pytest.importorskip("segment_anything")
    study(cli, draw_things.url)
    cli.env = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")

    ended = cli("nations", "--plan", "queue.csv", "--cutouts", "vit_b", "--out", "STUDY", "--url", draw_things.url,
                *SMALL, "--set", "steps=5")  # fmt: skip

    assert ended.code == 2
    assert "planned otherwise in this folder" in ended.stderr
    assert "fetching" not in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the cache lies elsewhere")
def test_a_dry_run_tells_cutouts_that_are_planned_otherwise_though_weights_are_missing(
    cli: CommandLine, draw_things: Simulator
) -> None:
    cli.env["XDG_CACHE_HOME"] = str(cli.folder / "cache")
    study_of = ("nations", "--plan", planned(cli), "--out", "STUDY", "--url", draw_things.url, *SMALL)
    begun = cli(*study_of, "--cutouts", "classical", "--limit", "1")

    otherwise = cli(*study_of, "--cutouts", "vit_b", "--dry-run")
    anew = cli(*study_of, "--cutouts", "vit_b", "--dry-run", "--redo-changed")

    assert (begun.code, otherwise.code, anew.code) == (0, 2, 0), anew.stderr
    assert "planned otherwise in this folder" in otherwise.stderr
    assert "weights" not in otherwise.stderr
    assert "vit_b: its weights are not here yet; without --dry-run this fetches" in anew.stderr


def test_weights_that_are_missing_are_fetched_and_a_dry_run_says_that_they_would_be(
    cli: CommandLine, draw_things: Simulator
) -> None:
    pytest.importorskip("segment_anything")
    # Nobody listens there: the weights are asked for, and cannot be had.
    cli.env = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    args = ("nations", "--plan", planned(cli), "--cutouts", "vit_b", "--out", "STUDY", "--url", draw_things.url)

    ended = cli(*args)
    dry = cli(*args, "--dry-run")

    assert ended.code == 2
    assert "fetching sam_vit_b_01ec64.pth" in ended.stderr
    assert dry.code == 0
    assert "vit_b: its weights are not here yet; without --dry-run this fetches" in dry.stderr
    assert not (cli.folder / "STUDY").exists()
