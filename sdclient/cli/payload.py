"""``sdclient payload``: look at payload files, make them out of foreign ones, and say what servers make of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from sdclient.cli import options
from sdclient.cli.talk import say, table
from sdclient.dialects import DIALECTS, is_refused, loss_rows
from sdclient.dialects.base import Compiled, Dialect, ServerFacts
from sdclient.dialects.importing import FORMATS, Imported, import_image, import_payload, snapshot
from sdclient.dialects.importing.door import Format
from sdclient.dialects.keysets import KEY_SETS, key_set, newest_key_set
from sdclient.dialects.losses import add_losses
from sdclient.dialects.showing import calls_of, compile_for_show, with_stand_in_prompt
from sdclient.dialects.tables import Kind
from sdclient.errors import ConfigurationError, PayloadError
from sdclient.files import command_line
from sdclient.schemas import Img2Img, Txt2Img, apply_sets, load_request
from sdclient.schemas.jsontext import parse_json_object
from sdclient.schemas.payload import parse_request, payload_text
from sdclient.transport import safe_url

F = TypeVar("F", bound=Callable[..., Any])  # click's decorators take and give any function

_MOST_NAMED = 12
_IMAGE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")
_KINDS = click.Choice(["txt2img", "img2img"])


@click.group(epilog="Example:  sdclient payload show bake --dialect drawthings --json")
def command() -> None:
    """Look at payload files, and make them out of what other programs know.

    FILE is a payload file, or the name of one that comes with sdclient; "-" reads stdin.
    """


def _sets(function: F) -> F:
    return click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Change a field first, such as steps=20; repeatable.",
    )(function)


def _out(function: F) -> F:
    function = click.option("--force", is_flag=True, help="Replace the output file.")(function)
    return click.option(
        "-o",
        "--output",
        # Not as a Path, for which ./- would be - as well.
        type=click.Path(dir_okay=False, allow_dash=True),
        callback=_place,
        help='Write here instead of to stdout; "-" is stdout, too.',
    )(function)


def _place(_ctx: click.Context, _param: click.Parameter, told: str | None) -> Path | None:
    return None if told is None or told == "-" else Path(told)


def _keys(function: F) -> F:
    return click.option(
        "--keys",
        metavar="NAME",
        help=f"Which version of the program. [default: its newest] One of {', '.join(KEY_SETS)}.",
    )(function)


@command.command(
    short_help="Say whether a payload file is right, and what is lost where.",
    epilog="Example:  sdclient payload check bake --dialect a1111 --strict",
)
@click.argument("file")
@_sets
@click.option(
    "--dialect", "names", multiple=True, type=click.Choice(list(DIALECTS)), help="Only this program; repeatable."
)
@_keys
@click.option("--strict", is_flag=True, help="Take every loss for a refusal.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a program.")
def check(
    file: str, sets: tuple[str, ...], names: tuple[str, ...], keys: str | None, *, strict: bool, as_json: bool
) -> int:
    """Say whether a payload file is right, and what would be lost of it where.

    Exit code 2: it is wrong, or a program named by --dialect (with --strict: any) refuses it.
    """
    request = apply_sets(_request(file), sets)
    chosen = _chosen(names, keys)
    refused: list[str] = []
    wrong: PayloadError | None = None
    for dialect, name, facts in chosen:
        try:
            compiled = _compiled(with_stand_in_prompt(request), dialect, facts)
        except PayloadError as exc:
            # Keys of another program, which one that takes after it need not know: only its own are wrong.
            if "native." not in str(exc) or f"native.{dialect.name}." in str(exc):
                wrong = wrong or exc
            refused.append(dialect.name)
            row: dict[str, object] = {
                "dialect": dialect.name,
                "keys": name,
                "refused": True,
                "losses": [],
                "error": str(exc),
            }
            click.echo(json.dumps(row) if as_json else f"{dialect.title} ({name}): refused\n    {exc}")
            continue
        is_no = is_refused(compiled.losses, strict=strict)
        refused += [dialect.name] if is_no else []
        if as_json:
            losses = [asdict(loss) for loss in compiled.losses]
            click.echo(json.dumps({"dialect": dialect.name, "keys": name, "refused": is_no, "losses": losses}))
        else:
            click.echo(_verdict(dialect, name, compiled, is_refused=is_no))
    if wrong is not None:
        raise wrong
    return 2 if refused and (names or keys or strict) else 0


@command.command(epilog="Example:  sdclient payload show bake --dialect drawthings --set steps=20 --json")
@click.argument("file")
@_sets
@click.option("--dialect", "name", type=click.Choice(list(DIALECTS)), help="For this program, without asking a server.")
@_keys
@click.option(
    "--url", "urls", multiple=True, metavar="URL", help="The server to go by: an address, or a name from sdclient.toml."
)
@click.option("--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The image to draw over.")
@click.option("--whole", is_flag=True, help="Keep images as they are instead of cutting them short.")
@click.option("--strict", is_flag=True, help="Take every loss for a refusal.")
@click.option("--json", "as_json", is_flag=True, help="The calls as a JSON list of method, path and body.")
def show(
    file: str,
    sets: tuple[str, ...],
    name: str | None,
    keys: str | None,
    urls: tuple[str, ...],
    image: Path | None,
    *,
    whole: bool,
    strict: bool,
    as_json: bool,
) -> int:
    """Show the calls that would be sent, and send nothing."""
    request = apply_sets(_request(file), sets)
    if image is not None:
        if isinstance(request, Txt2Img):
            raise click.UsageError("txt2img takes no image; leave --image out")
        request = request.replace(init_image=image)
    dialect, facts, where = _target(name, keys, urls)
    compiled = _compiled(request, dialect, facts)
    if not request.prompt and any(loss.field == "prompt" for loss in compiled.losses):
        # The body is shown as it is wherever the prompt may be empty.
        request = with_stand_in_prompt(request)
        compiled = _compiled(request, dialect, facts)
        say(f"the payload names no prompt, which this server must have; {request.prompt!r} stands for it here")
    calls = calls_of(compiled, dialect, whole=whole)
    if as_json:
        click.echo(json.dumps(calls, ensure_ascii=False))
    else:
        for call in calls:
            click.echo(f"{call['method']} {call['path']}\n{json.dumps(call['body'], indent=2, ensure_ascii=False)}")
    say(_verdict(dialect, where, compiled, is_refused=is_refused(compiled.losses, strict=strict)))
    return 2 if is_refused(compiled.losses, strict=strict) else 0


@command.command("import", epilog="Example:  sdclient payload import copied.json -o mine.json")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--format", "form", type=click.Choice(list(FORMATS)), help="Whose payload it is. [default: found out]")
@click.option("--kind", type=_KINDS, help="Which request it is. [default: by what it holds]")
@_out
def import_(file: str, form: str | None, kind: str | None, output: Path | None, *, force: bool) -> int:
    """Make a payload file out of a foreign one, with nothing lost.

    FILE holds the body of a request to Draw Things, AUTOMATIC1111 or Forge, a configuration as Draw Things copies
    it, or what Draw Things writes into an image. "-" reads stdin.
    """
    where = "stdin" if file == "-" else file
    payload = parse_json_object(_text(file), where)
    if isinstance(payload.get("request"), dict):
        raise PayloadError(f"{where}: is a payload file of sdclient's already; look at it with: sdclient payload check")
    try:
        found = import_payload(payload, form=cast("Format | None", form), kind=cast("Kind | None", kind))
    except PayloadError as exc:
        raise PayloadError(f"{where}: {exc}") from exc
    return _write(found, f"Imported from {Path(where).name}", output, force=force)


@command.command(
    "snapshot",
    short_help="Freeze what a server shows now as a payload file.",
    epilog="Example:  sdclient payload snapshot --url http://mac.local:7860 -o window.json",
)
@options.one_url
@click.option("--kind", type=_KINDS, default="txt2img", show_default=True, help="Which request to make.")
@_out
def snapshot_(urls: tuple[str, ...], kind: str, output: Path | None, *, force: bool) -> int:
    """Freeze what a server shows now as a payload file, and say which settings cannot be sent."""
    from sdclient.client import Client

    if len(urls) > 1:
        raise click.UsageError("a snapshot is of one server: give --url once")
    client = Client(urls[0] if urls else None)
    found = snapshot(client.dialect, client.options(), cast("Kind", kind))
    return _write(found, f"What {client.title} showed", output, force=force)


@command.command("from-image", epilog="Example:  sdclient payload from-image fox.png -o fox.json")
@click.argument("image", type=click.Path(dir_okay=False, allow_dash=True))
@_out
def from_image(image: str, output: Path | None, *, force: bool) -> int:
    """Make a payload file out of what an image says of itself.

    "-" reads stdin.
    """
    where, name = ("stdin", "an image from stdin") if image == "-" else (image, Path(image).name)
    try:
        data = _bytes(image)
    except OSError as exc:
        raise PayloadError(f"{where}: cannot be read: {exc.strerror or exc}") from None
    return _write(import_image(data, what=where), f"As {name} was drawn", output, force=force)


@command.command(
    short_help="Write the JSON Schema of payload files, for editors.",
    epilog="Example:  sdclient payload schema -o payload.schema.json",
)
@_out
def schema(output: Path | None, *, force: bool) -> int:
    """Write the JSON Schema of payload files, for editors that complete and check."""
    from sdclient.dialects.jsonschema import payload_schema

    return _put(json.dumps(payload_schema(), indent=1, ensure_ascii=False) + "\n", output, force=force)


@command.command(
    short_help="Write what becomes of every field on every server.",
    epilog="Example:  sdclient payload losses -o losses.md",
)
@_out
def losses(output: Path | None, *, force: bool) -> int:
    """Write what becomes of every field on every server, as a Markdown page."""
    from sdclient.dialects.matrix import matrix_markdown

    return _put(matrix_markdown(), output, force=force)


def _request(file: str) -> Txt2Img | Img2Img:
    return parse_request(_text(file), "stdin") if file == "-" else load_request(file)


def _chosen(names: Sequence[str], keys: str | None) -> list[tuple[Dialect, str, ServerFacts]]:
    if keys is not None:
        found = key_set(keys)
        if names and tuple(names) != (found.dialect,):
            raise click.UsageError(f"the key set {keys} is of {found.dialect}, not of {', '.join(names)}")
        return [(DIALECTS[found.dialect], found.name, found.facts())]
    sets = [newest_key_set(name) for name in names or DIALECTS]
    return [(DIALECTS[one.dialect], one.name, one.facts()) for one in sets]


def _target(name: str | None, keys: str | None, urls: Sequence[str]) -> tuple[Dialect, ServerFacts, str]:
    if urls:
        from sdclient.client import Client

        if len(urls) > 1 or keys is not None:
            raise click.UsageError("show is for one server or one key set: give --url once, and no --keys")
        client = Client(urls[0], dialect=name)
        return client.connection.dialect, client.facts, client.url
    if name is None and keys is None:
        raise click.UsageError(f"say for which program: --dialect {'|'.join(DIALECTS)}, or --url")
    [(dialect, found, facts)] = _chosen((name,) if name else (), keys)
    return dialect, facts, found


def _compiled(request: Txt2Img | Img2Img, dialect: Dialect, facts: ServerFacts) -> Compiled:
    """Compile a request as it would be sent, the init image brought to size as `img2img` does it by itself."""
    if isinstance(request, Txt2Img):
        return compile_for_show(request, dialect, facts)
    from sdclient.client.fitting import fit_for

    fitted = fit_for(dialect, request.for_dialect(*dialect.overlay_names))
    return add_losses(compile_for_show(fitted.request, dialect, facts), fitted.losses)


def _verdict(dialect: Dialect, where: str, compiled: Compiled, *, is_refused: bool) -> str:
    head = f"{dialect.title} ({where})"
    if not compiled.losses:
        return f"{head}: nothing is lost"
    word = "refused" if is_refused else f"{len(compiled.losses)} losses" if len(compiled.losses) > 1 else "1 loss"
    return f"{head}: {word}\n{table(loss_rows(compiled.losses), indent='    ')}"


def _bytes(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _text(file: str) -> str:
    try:
        # Not as text, for which Windows would take a code page, and nobody a byte order mark.
        return _bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        if exc.object.startswith(_IMAGE_STARTS):
            hint = f"for what it says of itself: {command_line('sdclient', 'payload', 'from-image', file)}"
            raise PayloadError(f"{file}: an image, and no text; {hint}") from None
        raise PayloadError(f"{file}: not UTF-8 text (byte {exc.start}); save it as UTF-8") from None
    except OSError as exc:
        if "://" in file:
            # A password that stands in an address is nothing for a screen.
            shown = safe_url(file)
            hint = (
                f"what a server shows is frozen by: {command_line('sdclient', 'payload', 'snapshot', '--url', shown)}"
            )
            raise PayloadError(f"{shown}: an address, and no file; save what it gives first; {hint}") from None
        raise PayloadError(f"{file}: cannot be read: {exc.strerror or exc}") from None


def _write(found: Imported, about: str, output: Path | None, *, force: bool) -> int:
    _put(payload_text(found.request, about), output, force=force)
    if found.left_out:
        reasons: dict[str, list[str]] = {}
        for key, reason in found.left_out.items():
            reasons.setdefault(reason, []).append(key)
        say("left out:")
        for reason, keys in reasons.items():
            more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
            say(f"  {', '.join(keys[:_MOST_NAMED])}{more}: {reason}")
    return 0


def _put(text: str, output: Path | None, *, force: bool) -> int:
    # Foreign JSON may spell lone surrogates, which nothing can write.
    text = text.encode("utf-8", "replace").decode()
    if output is None:
        click.echo(text, nl=False)
        return 0
    from sdclient.files import write_durable

    if output.exists() and not force:
        raise ConfigurationError(f"{output} is there already; name another file, or say --force")
    write_durable(output, text.encode())
    say(f"written: {output}")
    return 0
