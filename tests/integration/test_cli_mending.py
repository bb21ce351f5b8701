"""The commands that look after a run: verify and its repair, redo, retry, clean, and what may fail."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from sdclient import Run, Txt2Img
from sdclient.batch.folder import RunFolder
from sdclient.batch.identity import new_token
from sdclient.infotext import parse_infotext, read_infotext
from sdclient.simulator import Simulator
from tests.conftest import CommandLine

SMALL = ("--set", "width=64", "--set", "height=64", "--set", "steps=1", "--set", "inherit=true")


@pytest.fixture
def begun(cli: CommandLine, a1111: Simulator) -> tuple[str, ...]:
    """The command of a run of two images that is done."""
    (cli.folder / "prompts.txt").write_text("a fox\nan owl\n", encoding="utf-8")
    words = ("generate", "prompts.txt", "--out", "out", "--url", a1111.url, *SMALL)
    assert cli(*words).code == 0
    return words


def images(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def seeds(folder: Path) -> list[int | None]:
    return [parse_infotext(read_infotext(data) or "").get_int("Seed") for data in images(folder).values()]


def state_of(out: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("answers", ["n\n", "\n", ""], ids=["no", "nothing", "nobody"])
@pytest.mark.usefixtures("begun")
def test_nothing_is_repaired_without_consent(cli: CommandLine, answers: str) -> None:
    out = cli.folder / "out"
    (out / "0001_a_fox_1.png").write_bytes(b"bit rot")
    (out / "0002_an_owl_1.png").unlink()
    before = state_of(out)

    asked = cli("verify", "out", "--repair", answers=answers)

    assert asked.code != 0
    assert "0001_a_fox_1.png: is another file than was made" in asked.stdout
    assert "0002_an_owl_1.png: was made and is gone" in asked.stdout
    assert "Plan 2 files once more?" in asked.stderr
    assert state_of(out) == before


@pytest.mark.usefixtures("begun")
def test_where_nobody_answers_the_repair_says_how_it_needs_no_answer(cli: CommandLine) -> None:
    (cli.folder / "out" / "0001_a_fox_1.png").unlink()

    asked = cli("verify", "out", "--repair")

    assert asked.code == 2
    assert "--yes" in asked.stderr.splitlines()[-1]


@pytest.mark.parametrize(("words", "answers"), [(("--repair",), "y\n"), (("--repair", "--yes"), "")])
def test_with_consent_what_is_damaged_is_made_again_and_kept(
    cli: CommandLine, begun: tuple[str, ...], words: tuple[str, ...], answers: str
) -> None:
    out = cli.folder / "out"
    before = images(out)
    (out / "0001_a_fox_1.png").write_bytes(b"bit rot")

    repaired = cli("verify", "out", *words, answers=answers)
    joined = cli("join", "out", "--url", begun[5])
    verified = cli("verify", "out")

    assert "1 job planned once more; to make it: sdclient join out" in repaired.stderr
    assert (repaired.code, joined.code, verified.code) == (1, 0, 0)
    assert "2 of 2 jobs done; all their files are there and what their records say" in verified.stderr
    assert images(out).keys() == before.keys()
    assert b"bit rot" in [path.read_bytes() for path in (out / ".sdclient" / "replaced").glob("*/*")]


@pytest.mark.parametrize("more", [(), ("--new-seed",)], ids=["same seed", "new seed"])
def test_redo_keeps_the_old_image_and_draws_from_another_seed_only_if_asked(
    cli: CommandLine, begun: tuple[str, ...], more: tuple[str, ...]
) -> None:
    out = cli.folder / "out"
    old, old_seeds = images(out), seeds(out)

    planned = cli("redo", "out", "*fox*", *more)
    again = cli(*begun)
    cleaned = cli("clean", "out")

    assert (planned.code, again.code, cleaned.code) == (0, 0, 0)
    assert planned.stdout.split() == ["0001_a_fox"]
    assert [new == old for new, old in zip(seeds(out), old_seeds, strict=True)] == [not more, True]
    kept = [path.read_bytes() for path in (out / ".sdclient" / "replaced").glob("*/*")]
    assert kept == [old["0001_a_fox_1.png"]]
    assert "0 parts, 0 claims, 0 beats, 0 unfinished" in cleaned.stderr + cleaned.stdout


def offered(stderr: str, what: str = "join") -> list[str]:
    """The words of the command that is offered, without the program's name."""
    (line,) = [line for line in stderr.splitlines() if f"sdclient {what}" in line]
    return shlex.split(line.partition("sdclient ")[2])


@pytest.mark.usefixtures("begun")
def test_the_command_that_redo_offers_makes_what_it_planned_when_it_is_typed(cli: CommandLine) -> None:
    planned = cli("redo", "out", "*fox*")
    joined = cli(*offered(planned.stderr))
    cli.env["SDCLIENT_URL"] = "http://127.0.0.1:7860"
    default = cli("redo", "out", "*fox*")

    assert (planned.code, joined.code) == (0, 0)
    assert "2 of 2 jobs done, 1 of them now" in joined.stderr
    assert offered(default.stderr) == ["join", "out"]


@pytest.mark.usefixtures("begun")
def test_a_program_is_offered_the_same_command_and_none_where_nothing_is_planned(cli: CommandLine) -> None:
    planned = json.loads(cli("redo", "out", "*fox*", "--json").stdout)
    nothing = json.loads(cli("redo", "out", "*fox*", "--json").stdout)
    joined = cli(*shlex.split(planned["join"])[1:])
    retried = json.loads(cli("retry", "out", "--json").stdout)

    assert planned["planned"] == ["0001_a_fox"]
    assert (joined.code, "2 of 2 jobs done, 1 of them now" in joined.stderr) == (0, True)
    assert (nothing["planned"], nothing["join"]) == ([], None)
    assert retried == {"retried": [], "join": None}


def test_the_command_that_an_unfinished_run_offers_goes_on_when_it_is_typed(cli: CommandLine, a1111: Simulator) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\nan owl\n", encoding="utf-8")

    first = cli("generate", "prompts.txt", "--out", "two words", "--url", a1111.url, *SMALL, "--limit", "1")
    second = cli(*offered(first.stderr))

    assert offered(first.stderr) == ["join", "two words", "--url", a1111.url]
    assert (second.code, "2 of 2 jobs done, 1 of them now" in second.stderr) == (0, True)


@pytest.mark.parametrize("out", ["./-out", "two words"])
def test_what_a_run_and_its_verification_offer_works_when_it_is_typed_whatever_the_folder(
    cli: CommandLine, a1111: Simulator, out: str
) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\nan owl\n", encoding="utf-8")

    first = cli("generate", "prompts.txt", "--out", out, "--url", a1111.url, *SMALL, "--limit", "1")
    joined = cli(*offered(first.stderr))
    (cli.folder / out / "0001_a_fox_1.png").unlink()
    verified = cli("verify", out)
    repaired = cli(*offered(verified.stderr, "verify"), "--yes")
    made = cli(*offered(repaired.stderr))

    assert offered(verified.stderr, "verify") == ["verify", out, "--repair"]
    assert (joined.code, repaired.code, made.code) == (0, 1, 0)
    assert "2 of 2 jobs done, 1 of them now" in made.stderr


def test_the_retry_that_a_run_offers_works_when_it_is_typed(cli: CommandLine) -> None:
    (cli.folder / "in").mkdir()
    (cli.folder / "in" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")

    run = cli("segment", "in", "./-my out", "--model", "classical")
    retried = cli(*offered(run.stderr, "retry"))

    assert offered(run.stderr, "retry") == ["retry", "./-my out"]
    assert (retried.code, retried.stdout.split()) == (0, ["torn"])


def test_a_numbered_image_means_the_jobs_that_made_so_many(cli: CommandLine, begun: tuple[str, ...]) -> None:
    Run(cli.folder / "out").add(["two hares"], Txt2Img(width=64, height=64, steps=1, inherit=True, batch_size=2)).start(
        begun[5]
    )

    third = cli("redo", "out", "*_3.png")
    second = cli("redo", "out", "*_2.png")
    named = cli("redo", "out", "0001_a_fox_2.png", "0002_an_owl_1.png")

    assert (third.code, "no job matches" in third.stderr) == (2, True)
    assert second.stdout.split() == ["0001_two_hares"]
    assert named.stdout.split() == ["0002_an_owl"]
    assert "left out: 0001_a_fox_2.png: no such image" in named.stderr


@pytest.mark.usefixtures("begun")
def test_clean_says_what_it_left_and_why(cli: CommandLine) -> None:
    folder = RunFolder.open(cli.folder / "out")
    job = next(iter(folder.read_plan().jobs))
    folder.claim(job, 2, new_token())
    (folder.done_folder(job) / "record.json").write_bytes(b"")

    cleaned = cli("clean", "out")

    assert cleaned.code == 1
    assert cleaned.stderr.splitlines()[0].startswith("0 parts, 1 claims, 0 beats, 0 unfinished")
    assert "left as it is: " in cleaned.stderr
    assert "`sdclient verify --repair` plans it anew" in cleaned.stderr


def test_as_many_jobs_as_allowed_may_fail_and_retry_tries_them_again(cli: CommandLine, a1111: Simulator) -> None:
    (cli.folder / "prompts.txt").write_text("a giant\na fox\n", encoding="utf-8")
    words = ("generate", "prompts.txt", "--out", "out", "--url", a1111.url, *SMALL)
    a1111.next_faults("out-of-memory")

    ended = [cli(*words).code, cli(*words).code, cli(*words, "--max-failed", "1").code]
    unfit = cli("retry", "out", "*fox*")
    retried = cli("retry", "out", "*giant*")
    nothing = cli("retry", "out")
    last = cli(*words)

    assert ended == [1, 1, 0]
    assert "out: 1 job set aside, and none that fits" in unfit.stderr
    assert nothing.stderr.strip() == "out: nothing is set aside, so there is nothing to retry"
    assert retried.stdout.split() == ["0001_a_giant"]
    assert last.code == 0
    assert len(images(cli.folder / "out")) == 2
