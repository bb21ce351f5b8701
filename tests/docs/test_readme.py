"""The README's blocks do what they say, and its numbers hold."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sdclient.cli.app import app
from sdclient.simulator import Simulator
from tests.conftest import CommandLine

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)


def shell_commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("sdclient ")]


def test_the_readme_is_at_most_150_lines_long() -> None:
    assert len(TEXT.splitlines()) <= 150


def test_the_python_block_runs_against_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a1111: Simulator
) -> None:
    [code] = blocks("python")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "GENERATIONS" / "Italian").mkdir(parents=True)
    (tmp_path / "GENERATIONS" / "Italian" / "fox.png").write_bytes(_png())

    exec(compile(code.replace("http://127.0.0.1:7860", a1111.url), "README.md", "exec"), {})  # noqa: S102 - our own README

    assert (tmp_path / "fox.png").stat().st_size > 1000
    assert (tmp_path / "UPSCALED" / "Italian" / "fox_upscaled_1.png").stat().st_size > 1000


@pytest.mark.parametrize("words", [words for words in shell_commands() if words[0] != "segment"], ids=" ".join)
def test_every_shell_command_works(words: list[str], cli: CommandLine, draw_things: Simulator) -> None:
    cli.env["SDCLIENT_URL"] = draw_things.url
    (cli.folder / "prompts.csv").write_text("prompt,mood\na fox,calm\n", encoding="utf-8")
    (cli.folder / "GENERATIONS").mkdir()
    (cli.folder / "GENERATIONS" / "fox.png").write_bytes(_png())
    if words[0] in ("join", "status", "report"):
        assert cli("upscale", "GENERATIONS", "UPSCALED", "--payload", "bake", "--limit", "0").code == 0

    ended = cli(*(word.replace("http://127.0.0.1:7860", draw_things.url) for word in words), answers="done\n")

    assert ended.code == 0, ended.stderr


def test_its_two_screenshots_are_there_and_say_what_they_show() -> None:
    shown = re.findall(r"!\[([^\]]{20,})\]\(([\w/.-]+)\)", TEXT)

    assert [path for _, path in shown] == ["examples/report.png", "examples/image.png"]
    assert all((README.parent / path).read_bytes().startswith(b"\x89PNG") for _, path in shown)


def test_the_segment_command_names_real_options() -> None:
    [words] = [words for words in shell_commands() if words[0] == "segment"]
    command = app.get_command(app.make_context("sdclient", ["segment"], resilient_parsing=True), "segment")

    assert command is not None
    assert command.make_context("segment", list(words[1:]), resilient_parsing=True).params["model"] == "vit_b"


def test_the_settings_block_is_a_valid_sdclient_toml(cli: CommandLine) -> None:
    [text] = blocks("toml")
    (cli.folder / "sdclient.toml").write_text(text, encoding="utf-8")

    ended = cli("txt2img", "a fox")

    # The file is read and the password looked for; there is none in this environment.
    assert "MINI_PASSWORD" in ended.stderr
    assert ended.code == 2


def _png() -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.radial_gradient("L").resize((256, 192)).convert("RGB").save(file, "PNG")
    return file.getvalue()
