"""What goes with which ``--engine``: options that the chosen one would leave unheeded are refused."""

from __future__ import annotations

from collections.abc import Mapping

import click

_OF_RAY = {"address": "--address", "segmenters": "--segmenters", "gpu_share": "--gpu-share"}


def refuse_unheeded(given: Mapping[str, object]) -> None:
    """Refuse options that the chosen engine has no use for.

    Args:
        given: All options of a command, as click hands them over.

    Raises:
        click.UsageError: Naming the option, and what to say instead.
    """
    if given["engine"] != "ray":
        for name, option in _OF_RAY.items():
            if given[name] is not None:
                raise click.UsageError(f"{option} is about a Ray cluster: give --engine ray, too, or leave it out")
        return
    if given["limit"] is not None:
        raise click.UsageError("--limit counts the jobs of one machine; leave it out with --engine ray")
    if given.get("is_watching"):
        raise click.UsageError(
            "--watch is done by one machine: leave it out with --engine ray, and give the same command again when "
            "images have come"
        )
