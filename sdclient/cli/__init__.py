"""The command line: one short file per command, no logic of its own."""

from __future__ import annotations

import os


def main() -> None:
    """Run the command line."""
    try:
        from sdclient.cli.app import run_app

        run_app()
    except KeyboardInterrupt:
        # Before the commands were loaded, or once more while the first one was answered.
        os._exit(130)
