"""``sdclient story``: illustrate texts, and put text and images into documents."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from sdclient.batch.plan import latest_jobs
from sdclient.chat import Api
from sdclient.cli import options
from sdclient.cli.changing import ChangingOptions, changing, open_run, reopen_run
from sdclient.cli.running import Company, RunningOptions, end, work
from sdclient.cli.talk import emit, plural, say
from sdclient.errors import ConfigurationError, SDClientError
from sdclient.files import command_line
from sdclient.planning import JobList
from sdclient.recipes.story import (
    FORMATS,
    PAYLOAD,
    ExtractIdeas,
    Manifest,
    SourceText,
    build_documents,
    plan_story,
    read_manifest,
    read_text,
    require_docx,
)
from sdclient.recipes.story.asking import Asked, Made, foresee_ideas, new_ideas
from sdclient.recipes.story.ideas import IDEAS_PER_SECTION, STYLE
from sdclient.recipes.story.language import NOT_ENGLISH, has_english_prompts
from sdclient.recipes.story.manifest import FILE_NAME
from sdclient.recipes.story.text import story_name
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.schemas.sets import apply_sets

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from sdclient.recipes.story import Format

_NOTED = {
    "model": "--model",
    "count": "--ideas",
    "style": "--style",
    "extracts": "--extracts",
    "words_by_model": "--words-by-model",
}
"""The options that decide what ideas and prompts are made."""
_MOST_SHOWN = 50
"""Ideas of a section on the screen; --extracts finds thousands in a book."""


class StoryOptions(RunningOptions, ChangingOptions):
    """The options that other commands have, too."""


def _model_options(function: click.decorators.FC) -> click.decorators.FC:
    added = (
        click.option("--base-url", metavar="URL", help="A language model: an OpenAI-compatible address with its /v1."),
        click.option("--model", metavar="NAME", help="Its name. Without both, key sentences of the text are taken."),
        click.option(
            "--key-env",
            metavar="NAME",
            help="Environment variable with its key. [OpenAI: OPENAI_API_KEY, OPENAI_TOKEN]",
        ),
        click.option(
            "--api", type=click.Choice(["chat", "completions"]), default="chat", show_default=True, help="Its kind."
        ),
        click.option("--words-by-model", is_flag=True, help="Let it find words for each prompt, beside --style."),
    )
    return options.added(added, function)


@click.command(
    epilog="Example:  sdclient story pigs.txt --out PIGS --url http://127.0.0.1:7860\n\n"
    "With a language model:  sdclient story pigs.txt --out PIGS --base-url http://127.0.0.1:11434/v1 --model llama3.1"
)
@click.argument("texts", metavar="TEXT...", nargs=-1, type=click.Path(dir_okay=False, path_type=Path))
@options.out_folder
@options.urls
@_model_options
@click.option(
    "--ideas", "count", type=click.IntRange(1, 50), default=IDEAS_PER_SECTION, show_default=True, metavar="N",
    help="Ideas a section.",
)  # fmt: skip
@click.option("--extracts", is_flag=True, help="Instead: one image for every hundred words or so.")
@click.option("--style", default=STYLE, show_default=True, metavar="WORDS", help="Added to every idea.")
@click.option("--new-ideas", is_flag=True, help="Make new ideas, instead of using those in the folder.")
@click.option("--ideas-only", is_flag=True, help="Make the ideas and stop: look at ideas.json, change it, go on.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(FORMATS),
    help="Only this document; repeatable.  [default: all]",
)
@click.option("--documents-only", is_flag=True, help="Build the documents again from what is there.")
@click.option("--payload", default=PAYLOAD, show_default=True, metavar="FILE", help="How an image is drawn.")
@click.option("--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Change a field of that payload; repeatable.")
@click.option("--seed", "run_seed", type=click.IntRange(0, 2**32 - 1), help="Seed of a new run; each image's follows.")
@changing
@options.running
def command(
    texts: tuple[Path, ...],
    out: Path,
    urls: tuple[str, ...],
    base_url: str | None,
    model: str | None,
    key_env: str | None,
    api: Api,
    count: int,
    style: str,
    formats: tuple[Format, ...],
    payload: str,
    sets: tuple[str, ...],
    run_seed: int | None,
    *,
    extracts: bool,
    words_by_model: bool,
    new_ideas: bool,
    ideas_only: bool,
    documents_only: bool,
    **running: Unpack[StoryOptions],
) -> None:
    """Illustrate texts: ideas for beginning, middle and end, an image of each, and documents with both.

    The ideas lie in ideas.json and are used again; the same command goes on where it stopped.
    """
    formats = formats or FORMATS
    if "docx" in formats and not ideas_only:
        # Before anything is drawn: a package that is missing is no surprise for the end of a night.
        require_docx()
    if documents_only:
        stories = _stories_in(out, texts)
        end(_documents(reopen_run(out, running), stories, formats, as_json=running["as_json"]))
        return
    asked = Asked(base_url, model, key_env, api, count, style, extracts, words_by_model, new_ideas, _given())
    request = apply_sets(Txt2Img.load(payload), sets)
    sources = _read_all(texts)
    run = open_run(out, run_seed, given=running)
    stories = {one.name: _ideas(one, out / one.name, asked, running) for one in sources}
    if ideas_only:
        return
    _add(run, stories, request)
    code = work(run, Company(urls), running)
    if not running["dry_run"]:
        _documents(run, stories, formats, as_json=running["as_json"])
    end(code)


def _given() -> tuple[str, ...]:
    """Return the options about ideas that were typed; addresses and keys are not for a file."""
    context = click.get_current_context()
    typed = {name for name in _NOTED if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    values = {name: context.params[name] for name in _NOTED if name in typed}
    return tuple(_NOTED[name] if value is True else f"{_NOTED[name]} {value}" for name, value in values.items())


def _read_all(texts: Sequence[Path]) -> list[SourceText]:
    if not texts:
        raise click.UsageError("name a text to illustrate, such as: sdclient story pigs.txt --out PIGS")
    sources = [read_text(path) for path in texts]
    names = [one.name.casefold() for one in sources]
    for name in names:
        if names.count(name) > 1:
            raise click.UsageError(f"two texts are called {name!r}, and would share a folder; rename one")
    return sources


def _ideas(source: SourceText, folder: Path, asked: Asked, running: RunningOptions) -> Manifest:
    there = None if asked.anew else read_manifest(folder)
    if there is not None:
        say(f"{folder / FILE_NAME}: its ideas are used again; --new-ideas makes new ones")
        if there.text_sha256 != source.sha256:
            say("note: the text has changed since they were made")
        if idle := [*asked.given_to_no_avail(there)]:
            say(f"note: {', '.join(idle)}: no effect on ideas that are there already; --new-ideas makes them anew")
        _say_language(there)
        return there
    made = _new_ideas(source, folder, asked, dry_run=running["dry_run"])
    _say_made(source, folder / FILE_NAME, made, as_json=running["as_json"])
    return made.manifest


def _say_made(source: SourceText, path: Path, made: Made, *, as_json: bool) -> None:
    ideas = made.manifest
    if ideas.filled:
        filled = plural(ideas.filled, "key sentence")
        say(
            f"note: {ideas.source} gave too few ideas that differ; {filled} of the text stand in (see origin in the list)"
        )
    _say_language(ideas)
    if made.kept is not None:
        say(f"note: the ideas of before are kept as {made.kept}")
    if as_json:
        emit({"event": "ideas", "story": source.name, "file": str(path), **ideas.model_dump(mode="json")})
        return
    whose = "key sentences of the text" if ideas.source == ExtractIdeas().name else f"ideas by {ideas.source}"
    if made.is_written:
        say(f"{path}: {whose}; change them as you like before images are drawn")
    else:
        say(f"{path}: stays as it is; without --dry-run these would take its place, {whose}")
    for section in ideas.sections:
        say(f"  {section.section}")
        for number, one in enumerate(section.ideas[:_MOST_SHOWN], start=1):
            say(f"    {number}. {one.idea}")
        if (more := len(section.ideas) - _MOST_SHOWN) > 0:
            say(f"    and {more} more")


def _say_language(manifest: Manifest) -> None:
    if not has_english_prompts(manifest):
        say(f"note: {NOT_ENGLISH}")


def _new_ideas(source: SourceText, folder: Path, asked: Asked, *, dry_run: bool) -> Made:
    make = foresee_ideas if dry_run and (folder / FILE_NAME).exists() else new_ideas
    try:
        return make(source, folder, asked, os.environ)
    except SDClientError:
        if had := [one.section for one in asked.draft(source, folder).read()]:
            say(f"note: the ideas for {' and '.join(had)} are kept; the same command asks for the rest only")
        raise


def _add(run: Run, stories: Mapping[str, Manifest], request: Txt2Img) -> None:
    listed = JobList()
    for name, manifest in stories.items():
        plan_story(name, manifest, request, run.folder.settings.run_seed, into=listed)
    # All at once: who is asked about a change is asked about all of them.
    run.add_jobs(listed)
    wanted, done = {job.place for job in listed.jobs}, run.folder.read_done()
    latest = latest_jobs({job.id: job for job in run.jobs()}).values()
    older = [job for job in latest if job.columns.get("story") in stories and job.id not in done]
    older = [job for job in older if not _is_of(job.place, wanted)]
    if older:
        images = plural(len(older), "image")
        say(f"note: {images} of older ideas planned here will be drawn, too; another --out leaves them")


def _is_of(place: str, wanted: AbstractSet[str]) -> bool:
    """Tell whether a place is one of those wanted, or of a variant of them."""
    ends = [at for at, sign in enumerate(place) if sign == "_"]
    return any(place[:end] in wanted for end in [*ends, len(place)])


def _stories_in(out: Path, texts: Sequence[Path]) -> dict[str, Manifest]:
    named = [path.name if (out / path.name).is_dir() else story_name(path) for path in texts]
    names = named or sorted(path.parent.name for path in out.glob(f"*/{FILE_NAME}"))
    found: dict[str, Manifest] = {}
    for name in names:
        manifest = read_manifest(out / name)
        if manifest is None:
            raise ConfigurationError(f"{out / name / FILE_NAME}: not there; no story of this name was illustrated here")
        found[name] = manifest
    if not found:
        command = command_line("sdclient", "story", "TEXT", "--out", out)
        raise ConfigurationError(f"{out}: holds no story; begin one with: {command}")
    return found


def _documents(run: Run, stories: Mapping[str, Manifest], formats: Sequence[Format], *, as_json: bool) -> int:
    code = 0
    for name, manifest in stories.items():
        built = build_documents(run, name, manifest, formats)
        for text in built.remarks:
            say(f"note: {text}")
        if built.missing:
            say(f"note: {name}: {plural(built.missing, 'image')} still missing, and not in its documents")
        if as_json:
            files = [str(path) for path in built.paths]
            emit(
                {"event": "documents", "story": name, "files": files, "images": built.images, "missing": built.missing}
            )
        else:
            for path in built.paths:
                click.echo(path)
        code = code or (0 if built.paths else 1)
    return code
