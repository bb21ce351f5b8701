"""The top of the command line: the list of commands, loaded when used, and errors as words with exit codes."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from sdclient._version import __version__
from sdclient.cli.interrupts import was_interrupted

if TYPE_CHECKING:
    from sdclient.errors import SDClientError

COMMANDS = {
    "Everyday": {
        "doctor": "Look at servers, payloads and folders, and say what is wrong.",
        "txt2img": "Draw an image from words.",
        "img2img": "Draw over an image.",
        "generate": "Draw a list of prompts.",
        "upscale": "Draw over every image of a folder.",
        "segment": "Cut every object out of every image of a folder.",
        "replay": "Make an image again and compare it, or say how two differ.",
        "payload": "Check, show, import and freeze payload files.",
        "simulate": "Start a simulated server, to try things without a GPU.",
        "demo": "Run the whole chain once against a simulated server.",
    },
    "Runs": {
        "status": "Say where a run stands.",
        "join": "Take part in a run that was begun here or elsewhere.",
        "retry": "Let jobs that were set aside be tried again.",
        "redo": "Make images once more; the old ones are kept.",
        "verify": "Check every image of a run against its record.",
        "clean": "Take away what dead workers left behind.",
        "report": "Make the page of a run: what ran, when, what failed, all images.",
        "serve": "Show the page of a run, live.",
    },
    "Recipes": {
        "nations": "Ask for nations, generate, bake and cut out (alias: queue).",
        "story": "Illustrate a text: ideas, images, and a document with both.",
        "interleave": "Draw every prompt of a text in every style, image over image.",
        "daily": "Draw and post an image for every part of the day.",
        "canvas": "Draw slices of pixel art over again and again, without words.",
    },
}
ALIASES = {"queue": "nations"}

EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_NO_SERVER = 3
EXIT_INTERRUPTED = 130


class App(click.Group):
    """Loads a command's module when the command is used: help stays fast, and heavy packages stay out."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click names the argument
        """Return all commands."""
        return [name for group in COMMANDS.values() for name in group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"sdclient.cli.{name}")
        command = module.command
        if not isinstance(command, click.Command):
            raise TypeError(f"sdclient.cli.{name}.command is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or say which one is close."""
        import difflib

        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], [*self.list_commands(ctx), *ALIASES], n=1)
            hint = f" Did you mean {close[0]}?" if close else " `sdclient --help` lists them."
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click names the argument
        """Write the three groups."""
        for title, group in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl(list(group.items()))


@click.command(cls=App, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="sdclient")
@click.option("-v", "--verbose", count=True, help="Say more; twice for everything.")
def app(verbose: int) -> None:
    """Drive the Stable Diffusion servers you run, one image or ten thousand.

    \b
    Try it without a server:   sdclient demo --out demo
    With yours:                sdclient doctor http://127.0.0.1:7860
    """  # noqa: D301 - \b is click's mark for "keep these lines"
    level = {0: logging.ERROR, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=level, format="%(name)s: %(message)s", stream=sys.stderr)


def run_app() -> NoReturn:
    """Run, and end with the documented exit code; never with a traceback."""
    try:
        code = app.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("\nstopped", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as exc:
        _hinted(exc).show()
        sys.exit(EXIT_REFUSED)
    except KeyboardInterrupt:
        click.echo("\nstopped", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as exc:  # noqa: BLE001 - the last line of defence: a person gets words, never a traceback
        sys.exit(report(exc))
    sys.exit(code if isinstance(code, int) else 0)


def _hinted(exc: click.ClickException) -> click.ClickException:
    """Return an error that says what to type, where a server or a payload stands for itself and is an option."""
    if not isinstance(exc, click.UsageError) or exc.ctx is None or "unexpected extra argument" not in exc.message:
        return exc
    extra = exc.message.partition("(")[2].removesuffix(")").split(" ")
    params = exc.ctx.command.params
    options = {name for param in params for name in param.opts}
    address = next((word for word in extra if "://" in word), None)
    payload = next((word for word in extra if word.endswith(".json")), None)
    takes_nothing = not any(isinstance(param, click.Argument) for param in params)
    if "--payload" in options and payload is not None:
        hint = f"; a payload goes into an option: --payload {payload}"
    elif "--url" in options and (address is not None or takes_nothing):
        hint = f"; a server goes into an option: --url {address or 'http://127.0.0.1:7860'}"
    else:
        return exc
    return click.UsageError(exc.message + hint, exc.ctx)


def report(exc: Exception) -> int:
    """Say what went wrong and return the exit code that stands for it."""
    from sdclient.errors import SDClientError

    if isinstance(exc, SDClientError):
        click.echo(f"sdclient: {exc}", err=True)
        return exit_code(exc)
    logging.getLogger("sdclient").debug("unexpected", exc_info=exc)
    if was_interrupted():
        click.echo("\nstopped", err=True)
        return EXIT_INTERRUPTED
    click.echo(f"sdclient: {exc}", err=True)
    click.echo(
        f"This is a fault in sdclient itself ({type(exc).__name__}); run again with -vv and report what it says.",
        err=True,
    )
    return EXIT_FAILED


def exit_code(exc: SDClientError) -> int:
    """Return the exit code that stands for an error."""
    from sdclient.errors import BadReplyError, ServerBusyError, ServerFaultError, TransportError, WrongServerError

    if isinstance(exc, TransportError | WrongServerError):
        return EXIT_NO_SERVER
    if isinstance(exc, ServerFaultError | BadReplyError | ServerBusyError):
        return EXIT_FAILED
    return EXIT_REFUSED
