"""Options that several commands share, with one meaning everywhere."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click

from sdclient.cli.engine import refuse_unheeded
from sdclient.cli.numbers import NumberRange
from sdclient.errors import ConfigurationError
from sdclient.schemas.config import load_config
from sdclient.schemas.generation import DIALECT_NAMES

if TYPE_CHECKING:
    from sdclient.planning import Variations, Watch

F = TypeVar("F", bound=Callable[..., Any])  # click's decorators take and give any function


def added(options: Sequence[Callable[[F], F]], function: F) -> F:
    """Add options to a command, which shows them in this order."""
    # The one that is added last is shown first.
    for option in reversed(options):
        function = option(function)
    return function


def urls(function: F) -> F:
    """``--url``, once for each server."""
    return click.option(
        "--url",
        "urls",
        multiple=True,
        metavar="URL",
        help="A server: an address, or a name from sdclient.toml. May be given several times. [env: SDCLIENT_URL]",
    )(function)


def one_url(function: F) -> F:
    """``--url`` of commands that take one server; a second one is refused with words of theirs."""
    return click.option(
        "--url",
        "urls",
        multiple=True,
        metavar="URL",
        help="The server: an address, or a name from sdclient.toml. [env: SDCLIENT_URL]",
    )(function)


def payload(function: F) -> F:
    """``--payload`` and ``--set``."""
    function = click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Change a field of the payload, such as steps=20 or controls[0].weight=0.4; repeatable.",
    )(function)
    return click.option(
        "--payload", metavar="FILE", help="A payload file, or the name of one that comes with sdclient."
    )(function)


def dialect(function: F) -> F:
    """``--dialect``, where the servers' program shall not be found out."""
    return click.option(
        "--dialect",
        type=click.Choice(DIALECT_NAMES),
        help="The program that answers; left out, it is found out.",
    )(function)


def out_folder(function: F) -> F:
    """``--out``, the output folder of a run."""
    return click.option(
        "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The output folder."
    )(function)


class OneImageOptions(TypedDict):
    """What `one_image` adds, as click hands it over."""

    steps: int | None
    seed: int | None
    negative: str | None
    inherit: bool
    strict: bool
    force: bool
    dry_run: bool
    as_json: bool


class Ways(TypedDict):
    """How one image is drawn, apart from its request."""

    strict: bool
    force: bool
    dry_run: bool
    as_json: bool


def one_image(function: F) -> F:
    """What commands that draw one image take; `request_fields` and `ways` take it apart again."""
    options = (
        click.option("--steps", type=int, help="Sampling steps, 1 to 150."),
        click.option("--seed", type=int, help="The seed; left out, one is drawn and told."),
        click.option("--negative", help="What to keep out."),
        click.option("--inherit", is_flag=True, help="Take the model that the server has loaded or shows."),
        click.option(
            "-o",
            "--output",
            type=click.Path(dir_okay=False, path_type=Path),
            default="image.png",
            show_default=True,
            help="The file to write.",
        ),
        click.option("--force", is_flag=True, help="Replace the output file."),
        click.option("--strict", is_flag=True, help="Refuse where the server would not do everything as asked."),
        dialect,
        click.option("--dry-run", is_flag=True, help="Say what would be lost on this server, and send nothing."),
        click.option("--json", "as_json", is_flag=True, help="Tell the result as one JSON object."),
    )
    return added(options, function)


def request_fields(given: OneImageOptions) -> dict[str, object]:
    """Return the request fields that were given."""
    fields: dict[str, object] = {
        "steps": given["steps"],
        "seed": given["seed"],
        "negative_prompt": given["negative"],
        "inherit": given["inherit"] or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def ways(given: OneImageOptions) -> Ways:
    """Return how the image is to be drawn."""
    return Ways(strict=given["strict"], force=given["force"], dry_run=given["dry_run"], as_json=given["as_json"])


_ENGINE = (
    click.option(
        "--engine",
        type=click.Choice(["threads", "ray"]),
        default="threads",
        help="What starts the workers: this program, or a Ray cluster with the servers of sdclient.toml, or those named.",
    ),
    click.option(
        "--address", metavar="ADDRESS", help="With --engine ray: the cluster; auto is the one this machine is part of."
    ),
    click.option(
        "--segmenters",
        type=click.IntRange(min=1),
        metavar="N",
        help="With --engine ray: so many workers cut out. [default: 1]",
    ),
    click.option(
        "--gpu-share",
        type=NumberRange(0.0001, 1),  # Ray counts no finer
        metavar="SHARE",
        help="With --engine ray: the share of a GPU for each worker that cuts out; left out, they take CPUs.",
    ),
)


_SERVERS = (
    click.option("--strict", is_flag=True, help="Refuse to begin where a server would not do everything as asked."),
    dialect,
    click.option("--allow-mixed", is_flag=True, help="Take servers of different programs or models in one run."),
)

_WORKING = (
    click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Begin at most N jobs; the rest next time."),
    click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
    click.option(
        "--max-failed",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        show_default=True,
        help="Jobs that may be set aside (not tried again until sdclient retry) before the exit code is 1.",
    ),
)

_TELLING = (
    click.option(
        "--on-trouble",
        metavar="COMMAND",
        help="A program to run when a server fails, a job is set aside or nothing moves: 'notify-send sdclient'. "
        "It is split into words as a shell does, runs without one, and reads a JSON object on its standard input.",
    ),
    click.option(
        "--notify", metavar="URL", help="An address that gets a small JSON POST when the run has ended or is stuck."
    ),
    click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text."),
    *_ENGINE,
)


def _heeding(function: Callable[..., None]) -> Callable[..., None]:
    """Have a command refuse options that its engine would not heed, before it does anything."""

    @functools.wraps(function)
    def checked(**given: object) -> None:
        refuse_unheeded(given)
        function(**given)

    return checked


def running(function: Callable[..., None]) -> Callable[..., None]:
    """What every command that works on a run takes."""
    return added((*_WORKING, *_SERVERS, *_TELLING), _heeding(function))


def running_without_servers(function: Callable[..., None]) -> Callable[..., None]:
    """The same for a command whose runs need no server: what is about servers is not offered, and left at its default."""

    @functools.wraps(function)
    def with_defaults(**given: object) -> None:
        function(**given, strict=False, dialect=None, allow_mixed=False)

    return added((*_WORKING, *_TELLING), _heeding(with_defaults))


def told(on_trouble: str | None, notify: str | None) -> tuple[tuple[str, ...], str]:
    """Return the program and the address that are told: as said here, else in ``sdclient.toml``.

    Raises:
        ConfigurationError: If the command cannot be split into words, or the file is wrong.
    """
    config = load_config()
    if on_trouble is None:
        return config.on_trouble, config.notify if notify is None else notify
    try:
        words = shlex.split(on_trouble)
    except ValueError as exc:
        raise ConfigurationError(f"--on-trouble {on_trouble[:80]!r}: {exc}; close what you quote") from exc
    return tuple(words), config.notify if notify is None else notify


class ImagesFolder(click.Path):
    """A folder of images that is there; a file in its place is refused with what to do.

    Args:
        for_one: What to do about a single image.
    """

    def __init__(self, for_one: str) -> None:
        super().__init__(exists=True, file_okay=False, path_type=Path)
        self._for_one = for_one

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Return the folder's path."""
        if Path(value).is_file():
            self.fail(f"{value}: a file, and a folder of images is needed; {self._for_one}", param, ctx)
        return super().convert(value, param, ctx)


def order(function: F) -> F:
    """``--order`` of the images of a folder."""
    return click.option(
        "--order",
        type=click.Choice(["name", "newest", "random"]),
        default="name",
        show_default=True,
        help="Which image first: by name as people count (img2 before img10), the newest, or shuffled by the run's seed.",
    )(function)


def watching(function: F) -> F:
    """``--watch`` and ``--idle-exit``; `watch` puts them together."""
    options = (
        click.option(
            "--watch",
            "is_watching",
            is_flag=True,
            help="Go on taking in images that appear in IN, each once it is complete; not with --engine ray.",
        ),
        click.option(
            "--idle-exit",
            "idle_exit_s",
            type=NumberRange(min=0),
            metavar="S",
            help="With --watch: end after S seconds in which nothing came and nothing was left to do.",
        ),
    )
    return added(options, function)


def watch(*, is_watching: bool, idle_exit_s: float | None) -> Watch | None:
    """Return how to watch; None where that is not asked for."""
    from sdclient.planning import Watch

    if idle_exit_s is not None and not is_watching:
        raise click.UsageError("--idle-exit says when --watch ends: give both")
    return Watch(idle_exit_s) if is_watching else None


def versions(function: F) -> F:
    """``--vary``, ``--zip`` and ``--max-jobs``; `wording` puts them together."""
    options = (
        click.option(
            "--vary",
            multiple=True,
            metavar="FIELD=V,V,…",
            help="One version for each value, such as cfg_scale=4,5,6; with several --vary one for each combination. The "
            "values are in the name (…_cfg_scale-4_steps-20), and columns of images.csv; the seed is shared. Values "
            'with commas: \'prompt=["a, b", "c"]\'.',
        ),
        click.option(
            "--zip", "zipped", is_flag=True, help="Pair the values of several --vary instead of combining them."
        ),
        click.option(
            "--max-jobs",
            type=click.IntRange(min=1),
            default=20_000,
            show_default=True,
            metavar="N",
            help="Refuse --vary where it comes to more jobs than that.",
        ),
    )
    return added(options, function)


class VersionOptions(TypedDict):
    """What `versions` adds, as click hands it over."""

    vary: tuple[str, ...]
    zipped: bool
    max_jobs: int


class Words(TypedDict):
    """What the planning methods of a run take of these options."""

    templates: dict[str, str]
    vary: Variations


def wording(sets: Sequence[str], given: VersionOptions) -> tuple[list[str], Words]:
    """Tell templates among ``--set`` from plain changes, and read what varies.

    Returns:
        The plain changes; templates and variations.
    """
    from sdclient.planning import TEXT_FIELDS, read_variations

    plain: list[str] = []
    templates: dict[str, str] = {}
    for text in sets:
        field, _, value = text.partition("=")
        if field.strip() in TEXT_FIELDS and ("{" in value or "}" in value):
            templates[field.strip()] = value
        else:
            plain.append(text)
    varied = read_variations(given["vary"], zipped=given["zipped"], max_jobs=given["max_jobs"])
    return plain, Words(templates=templates, vary=varied)


def size_and_fit(function: F) -> F:
    """``--size`` and ``--fit`` of inputs."""
    function = click.option(
        "--fit",
        type=click.Choice(["pad", "crop"]),
        default="pad",
        show_default=True,
        help="What to do where the size does not fit; padding is taken off again.",
    )(function)
    return click.option(
        "--size",
        metavar="SIZE",
        help="source, 2048x2048, long-side=2048 or scale=2. [default: the payload's size, else source]",
    )(function)
