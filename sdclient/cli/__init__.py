"""The command line: one short file per command, no logic of its own."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from sdclient.cli.app import run_app

    run_app()
