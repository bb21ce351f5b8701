"""``sdclient doctor`` as it is typed: what it looks at, how it tells, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sdclient.cli.doctor import command
from sdclient.schemas import Txt2Img, save_payload
from sdclient.simulator import DIALECTS, Simulator


def doctor(*args: str) -> Result:
    return CliRunner().invoke(command, list(args), standalone_mode=False)


def notes_to_read(told: Result) -> str:
    """The notes as the last line counts them; whether a machine can be kept awake makes one more or less."""
    notes = sum(line.startswith("  note") for line in told.stdout.splitlines())
    return "1 note to read" if notes == 1 else f"{notes} notes to read"


def test_a_missing_lora_is_a_note_that_the_last_line_does_not_deny(a1111: Simulator, tmp_path: Path) -> None:
    path = save_payload(Txt2Img(model="sd_xl_base_1.0", loras=[{"model": "nope"}]), tmp_path / "x.json")

    told = doctor(a1111.url, "--payload", str(path), "--folder", str(tmp_path))

    assert "this server has no LoRA 'nope' and would draw without it" in told.stdout
    assert told.stderr == f"nothing must be mended; {notes_to_read(told)}\n"
    assert told.return_value == 0


def test_notes_are_counted_beside_what_is_to_be_mended(a1111: Simulator, tmp_path: Path) -> None:
    request = Txt2Img(model="nowhere-to-be-found", loras=[{"model": "nope"}])
    path = save_payload(request, tmp_path / "x.json")

    told = doctor(a1111.url, "--payload", str(path), "--folder", str(tmp_path))

    assert told.stderr == f"1 thing to mend, {notes_to_read(told)}\n"
    assert told.return_value == 2


def test_each_subject_is_named_once_and_the_folder_one_is_in_is_looked_at(
    a1111: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    told = doctor(a1111.url, "--payload", "sdxl-refiner-ultrasharp")

    heads = [line for line in told.stdout.splitlines() if not line.startswith(" ")]
    assert heads == [a1111.url, "sdxl-refiner-ultrasharp", "this folder", "this machine"]
    assert "GB free" in told.stdout
    quiet = "nothing is wrong\n"
    assert told.stderr == (quiet if "  note" not in told.stdout else f"nothing must be mended; {notes_to_read(told)}\n")
    assert told.return_value == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("http://127.0.0.1:9", "--set", "steps=3"), "name it with --payload"),
        (("--dialect", "forge"), "--dialect is for one server"),
        (("--probe",), "--probe is for one server"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(args: tuple[str, ...], words: str) -> None:
    assert words in str(getattr(doctor(*args).exception, "message", ""))


def test_a_server_can_be_taken_for_another_program(a1111: Simulator) -> None:
    told = doctor(a1111.url, "--dialect", "sdnext", "--payload", "bake")

    assert "taken for SD.Next as you say" in told.stdout
    assert "it looks like AUTOMATIC1111" in told.stdout


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_program_is_told_everything_that_a_person_is(dialect: str, tmp_path: Path) -> None:
    path = save_payload(Txt2Img(model="sd_xl_base_1.0", shift=3, tiling=True), tmp_path / "x.json")
    with Simulator(dialect) as server:
        told = doctor(server.url, "--payload", str(path), "--folder", str(tmp_path), "--json")

    found = [json.loads(line) for line in told.stdout.splitlines()]
    by_topic = {one["topic"]: one for one in found}
    assert by_topic["server"]["facts"]["dialect"] == dialect
    assert "models" in by_topic["models"]["facts"]
    assert by_topic["folder"]["facts"]["free_bytes"] > 0
    assert "kept_awake_by" in by_topic["machine"]["facts"]
    assert all(
        one["facts"].keys() == {"field", "kind", "severity", "message"} for one in found if one["topic"] == "loss"
    )
    assert all(one["text"] and one["subject"] for one in found)


def test_a_folder_alone_is_looked_at_without_a_server(tmp_path: Path) -> None:
    told = doctor("--folder", str(tmp_path))

    assert told.return_value == 0
    assert told.stdout.splitlines()[0] == str(tmp_path)


def test_nobody_there_is_one_thing_to_mend_and_its_own_exit_code() -> None:
    told = doctor("http://127.0.0.1:9", "--payload", "bake", "--probe")

    assert told.return_value == 3
    assert told.stdout.count("NONE") == 1
    assert told.stderr.startswith("1 thing to mend")
