"""The page in a real browser: nothing of what came from elsewhere runs, and what people click works."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sdclient.report.write import write_report
from tests.conftest import CommandLine
from tests.unit.report.builder import RunBuilder, png, study

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine (Debian: apt install chromium)")
EVIL = [
    "<script>document.title='EVIL'</script>",
    "<img src=x onerror=\"document.title='EVIL'\">",
    "</script><script>document.title='EVIL'</script>",
    "</style><svg onload=document.title='EVIL'>",
    "javascript:document.title='EVIL'",
    "'\"><iframe srcdoc=\"<script>parent.document.title='EVIL'</script>\">",
    "{{constructor.constructor('document.title=1')()}}",
]


def after_scripts(page: Path, profile: Path) -> str:
    """Return the document as it is after all scripts have run."""
    command = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=3000",
        "--dump-dom",
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@needs_browser
def test_a_browser_runs_nothing_of_what_came_from_prompts_servers_and_names(tmp_path: Path) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    for number, evil in enumerate(EVIL):
        name = f"{number} {evil.replace('/', '|').replace(chr(92), '')[:80]}"
        facts = {"server": evil, "changed": [{"field": evil, "asked": evil, "applied": evil}]}
        job = run.plan(name, changes={"prompt": evil, "negative_prompt": evil}, columns={evil: evil})
        run.commit(job, facts=facts)
        run.fail(run.plan(f"failed {number}"), evil, error=evil, reply=evil)

    dom = after_scripts(write_report(run.fresh()).page, tmp_path / "profile")

    assert "EVIL</title>" not in dom
    assert "<title>OUT" in dom
    assert f"{len(EVIL)} of {len(EVIL)} shown" in dom


@needs_browser
def test_the_script_of_the_page_runs_and_counts_what_is_shown(tmp_path: Path) -> None:
    run = study(tmp_path / "OUT")

    dom = after_scripts(write_report(run.fresh()).page, tmp_path / "profile")

    assert "4 of 4 shown · 0 kept · 0 rejected" in dom


@needs_browser
def test_a_page_of_an_empty_run_works_too(tmp_path: Path) -> None:
    run = RunBuilder.at(tmp_path / "OUT")

    dom = after_scripts(write_report(run.fresh()).page, tmp_path / "profile")

    assert "0 of 0 shown" in dom
    assert "No images yet." in dom


def test_the_command_writes_the_page_and_tells_where(tmp_path: Path, cli: CommandLine) -> None:
    run = study(tmp_path / "OUT")

    ended = cli("report", str(run.out))

    assert ended.code == 0
    assert ended.stdout.startswith(f"{run.out / 'report.html'}  4 images, 7 attempts, ")
    assert (run.out / "metadata.jsonl").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="the browser is a shell script here")
@pytest.mark.parametrize("args", [("--open",), ()], ids=["asked", "not asked"])
def test_the_page_is_opened_in_a_browser_where_that_is_asked(
    tmp_path: Path, cli: CommandLine, args: tuple[str, ...]
) -> None:
    run = study(tmp_path / "OUT")
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)

    ended = replace(cli, env={**cli.env, "BROWSER": str(browser)})("report", str(run.out), *args)

    assert ended.code == 0
    seen = [path.read_text().strip() for path in tmp_path.glob("opened")]
    assert seen == ([(run.out / "report.html").as_uri()] if args else [])


def test_the_command_tells_notes_and_figures_as_json(tmp_path: Path, cli: CommandLine) -> None:
    import json

    run = study(tmp_path / "OUT")
    (run.out / "generated/Greek/fox_1.png").unlink()

    told = json.loads(cli("report", str(run.out), "--json", "--no-thumbs").stdout)

    assert (told["images"], told["attempts"]) == (4, 7)
    assert told["size_bytes"] == (run.out / "report.html").stat().st_size
    assert "was made and is gone" in told["notes"][0]


def test_the_command_says_the_first_notes_and_counts_the_rest(tmp_path: Path, cli: CommandLine) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    for number in range(12):
        run.commit(run.plan(f"fox{number}"), png())
        (run.out / f"fox{number}_1.png").unlink()

    ended = cli("report", str(run.out))

    assert "note: … and 2 more, all in the page" in ended.stderr


def test_the_command_lays_images_out_by_two_columns(tmp_path: Path, cli: CommandLine) -> None:
    run = study(tmp_path / "OUT")

    ended = cli("report", str(run.out), "--grid", "rows=nation,cols=category")
    as_page = cli(
        "report", str(run.out), "--grid", "rows=nation,cols=category", "-o", str(run.out / "g.html"), "--json"
    )

    assert ended.stdout.strip() == str(run.out / "grid.png")
    assert (run.out / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert (as_page.code, (run.out / "g.html").is_file()) == (0, True)
    assert json.loads(as_page.stdout) == {"grid": str(run.out / "g.html"), "left_out": 0, "notes": []}


def test_the_command_tells_which_images_have_no_place_in_a_grid(tmp_path: Path, cli: CommandLine) -> None:
    run = study(tmp_path / "OUT")
    run.commit(run.plan("baked/extra", kind="img2img", columns={"nation": "Dutch"}))
    told = ("report", str(run.out), "--grid", "rows=nation,cols=category")

    ended, as_json = cli(*told), cli(*told, "--json")

    assert ended.stderr.strip() == "note: 1 image left out: no category"
    assert json.loads(as_json.stdout)["left_out"] == 1
    assert json.loads(as_json.stdout)["notes"] == ["1 image left out: no category"]


@pytest.mark.parametrize("name", ["report.html", "baked/Greek/fox_1_upscaled_1.png"])
def test_a_grid_is_not_written_over_what_else_sdclient_wrote_and_does_not_disown_it(
    tmp_path: Path, cli: CommandLine, name: str
) -> None:
    run = study(tmp_path / "OUT")
    cli("report", str(run.out))
    there = run.out / name
    before = there.read_bytes()

    ended = cli("report", str(run.out), "--grid", "rows=nation,cols=category", "-o", str(there))

    assert "is not a grid of sdclient's, and is left as it is; name another file" in ended.stderr
    assert there.read_bytes() == before


@pytest.mark.parametrize(
    "args",
    [("--grid", "rows=x"), ("--grid", "rows=x,cols=y"), ("--kind", "img2img"), ("-o", "x.html")],
    ids=["no columns", "unknown columns", "kind alone", "output alone"],
)
def test_the_command_refuses_what_makes_no_sense(tmp_path: Path, cli: CommandLine, args: tuple[str, ...]) -> None:
    assert cli("report", str(study(tmp_path / "OUT").out), *args).code == 2


@pytest.mark.parametrize("option", ["--embed", "--no-thumbs"])
def test_what_is_about_the_page_alone_is_refused_with_a_grid(tmp_path: Path, cli: CommandLine, option: str) -> None:
    out = study(tmp_path / "OUT").out

    ended = cli("report", str(out), "--grid", "rows=nation,cols=category", option)

    assert (ended.code, (out / "grid.png").exists()) == (2, False)
    assert "--embed and --no-thumbs go with the page, not with --grid" in ended.stderr


def test_a_folder_without_a_run_is_refused_in_words(tmp_path: Path, cli: CommandLine) -> None:
    ended = cli("report", str(tmp_path))

    assert ended.code == 2
    assert "no run here" in ended.stderr
