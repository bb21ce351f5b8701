"""Every example of every ``--help`` runs as it is written: only addresses and weights are others."""

from __future__ import annotations

import re
import selectors
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sdclient.cli.app import app
from sdclient.simulator import Simulator
from tests.conftest import CommandLine

_ADDRESS = re.compile(r"http://(?:127\.0\.0\.1:7860|mac\.local:7860)")
_LEFT_OUT = {
    "--words": "needs a model of Hugging Face; tests/unit/segment runs one made from a config",
    "--base-url": "needs a language model; tests/integration/test_recipe_story.py has a small server",
    "--publish": "posts to X; tests/integration/test_recipe_daily_posting.py has a small server",
}
_ENDLESS = (("serve",), ("simulate",), ("daily",))


def _examples(command: click.Command, context: click.Context) -> Iterator[str]:
    for line in (command.epilog or "").splitlines():
        match = re.match(r"(?:[A-Z][^`]*:)?\s+(sdclient .*)", line)
        if match:
            yield match[1]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _examples(inner, context)


ALL = sorted(set(_examples(app, click.Context(app))))
RUN = [text for text in ALL if not any(option in text.split() for option in _LEFT_OUT)]


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with Simulator("a1111") as running:
        yield running


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, server: Simulator) -> Path:
    """A folder with everything that examples name."""
    folder = tmp_path_factory.mktemp("desk")
    cli = CommandLine(folder, {"SDCLIENT_URL": server.url})
    (folder / "prompts.csv").write_text(
        "name,prompt,nation,category,n_iter\nfox,a fox,Italian,family,2\n"
        "generated/Italian/family/Italian_family_3,a crow,Greek,family,1\n"
    )
    (folder / "table.csv").write_text("image,prompt,nation\nfox.png,a fox,Italian\n")
    (folder / "nations.csv").write_text("nation,light\nItalian,dawn\n")
    (folder / "rejected.csv").write_text("image,mark\nfox_1.png,reject\n")
    (folder / "queue.csv").write_text("nation,category,count\nItalian,family,1\n")
    (folder / "pigs.txt").write_text(
        "Three pigs left home. A wolf came to the first. They lived in the house of bricks.\n"
    )
    (folder / "copied.json").write_text('{"guidanceScale": 5, "steps": 20, "width": 512, "height": 512}')
    examples = Path(__file__).parents[2] / "examples"
    shutil.copy(examples / "interleave.toml", folder / "series.toml")
    shutil.copy(examples / "interleave.txt", folder)
    small = ["--set", "width=128", "--set", "height=128", "--set", "steps=2"]
    for seed, name in enumerate(("fox.png", "place.png", "GENERATIONS/fox.png")):
        (folder / name).parent.mkdir(exist_ok=True)
        ended = cli("txt2img", "a fox", "--inherit", "--seed", str(seed), "-o", name, *small)
        assert ended.code == 0, ended.stderr
    made = cli("generate", "prompts.csv", "--set", "inherit=true", "--out", "OUT", *small)
    assert made.code == 0, made.stderr
    return folder


@pytest.fixture
def at_the_desk(desk: Path, server: Simulator, tmp_path: Path) -> CommandLine:
    folder = tmp_path / "desk"
    shutil.copytree(desk, folder)
    return CommandLine(folder, {"SDCLIENT_URL": server.url, "BROWSER": "true"})


def test_examples_are_found_for_every_kind_of_command() -> None:
    assert len({text.split()[1] for text in ALL}) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("text", RUN)
def test_an_example_of_the_help_runs(text: str, at_the_desk: CommandLine, server: Simulator) -> None:
    words = [_here(word, server) for word in shlex.split(text)[1:]]
    words += ["--port", "0"] if words[0] in ("simulate", "serve") and "--port" not in words else []
    _begin_what_it_needs(words, at_the_desk)

    if any(tuple(words[:1]) == endless for endless in _ENDLESS) and "--once" not in words:
        _runs_until_told(at_the_desk.start(*words))
        return
    ended = at_the_desk(*words, answers="Italian\nfamily\n1\ndone\n")

    assert ended.code == 0, ended.stderr


def _here(word: str, server: Simulator) -> str:
    word = _ADDRESS.sub(server.url, word)
    return {"vit_b": "classical", "7860": "0", "/Volumes/share/UPSCALED": "UPSCALED"}.get(word, word)


def _begin_what_it_needs(words: list[str], cli: CommandLine) -> None:
    """Begin the run that an example goes on with."""
    before: list[list[str]] = []
    if words[0] == "generate":
        shutil.rmtree(cli.folder / "OUT")
    if words[0] == "txt2img":
        (cli.folder / "fox.png").unlink()
    if words[0] in ("join", "segment"):
        before.append(["upscale", "GENERATIONS", "UPSCALED", "--payload", "bake", "--limit"])
        before[-1].append("0" if words[0] == "join" else "1")
    if "--again" in words:
        before.append(["canvas", "place.png", "--out", "SLICES", "--count", "2", "--passes", "1"])
    for command in before:
        assert cli(*command).code == 0


def _runs_until_told(process: subprocess.Popen[str]) -> None:
    """Wait until a command that ends with its user has said that it is at work, and press Ctrl-C."""
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        with selectors.DefaultSelector() as either:
            either.register(process.stdout, selectors.EVENT_READ)
            either.register(process.stderr, selectors.EVENT_READ)
            told = either.select(timeout=60)
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            # Or leaving the block would wait for it for ever.
            process.kill()
            raise
    assert told
    assert "Traceback" not in out + err
    assert process.returncode in (0, 130), err
