"""Losses as people see them: worst first, as rows of a table, and as a refusal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sdclient.dialects.base import Compiled, Loss, Severity
from sdclient.errors import LossError

__all__ = ["LOSS_COLUMNS", "add_losses", "is_lost", "is_refused", "loss_rows", "refuse", "sort_losses"]

LOSS_COLUMNS = ("field", "kind", "severity", "message")
"""The columns of ``loss_rows``."""

_ORDER: Mapping[Severity, int] = {"error": 0, "warning": 1, "note": 2}


def sort_losses(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """Return losses worst first, each once; those of one severity stay in their order."""
    return tuple(sorted(dict.fromkeys(losses), key=lambda loss: _ORDER[loss.severity]))


def add_losses(compiled: Compiled, losses: Iterable[Loss]) -> Compiled:
    """Return what was compiled with losses from elsewhere, worst first."""
    more = tuple(losses)
    return replace(compiled, losses=sort_losses((*compiled.losses, *more))) if more else compiled


def loss_rows(losses: Iterable[Loss]) -> list[tuple[str, str, str, str]]:
    """Return one row of text per loss, by ``LOSS_COLUMNS``, worst first."""
    return [(loss.field, loss.kind, loss.severity, loss.message) for loss in sort_losses(losses)]


def is_lost(field: str, losses: Iterable[Loss]) -> bool:
    """Tell whether a field, or a part that it belongs to (``controls`` of ``controls[0].model``), is left out."""
    parts = re.split(r"(?=[.\[])", field)
    fields = {"".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return any(loss.kind in ("dropped", "refused") and loss.field in fields for loss in losses)


def is_refused(losses: Iterable[Loss], *, strict: bool = False) -> bool:
    """Tell whether a request with these losses must not be sent; ``strict`` takes every loss for an error."""
    return any(strict or loss.severity == "error" for loss in losses)


def refuse(losses: Iterable[Loss], *, where: str = "this server", strict: bool = False) -> None:
    """Refuse a request whose losses are errors.

    Args:
        losses: What would be lost.
        where: The server, for the message.
        strict: Take every loss for an error.

    Raises:
        LossError: With one line for each loss that refuses.
    """
    grave = [loss for loss in sort_losses(losses) if is_refused([loss], strict=strict)]
    if grave:
        lines = "\n".join(f"  {loss.field}: {loss.message}" for loss in grave)
        raise LossError(f"{where} cannot do what is asked; nothing was sent:\n{lines}")
