"""Numbers on the command line: `nan` passes every comparison of a range, and no option means it."""

from __future__ import annotations

import math
from typing import cast

import click


class NumberRange(click.FloatRange):
    """A finite number from ``min`` to ``max``, both among them where nothing else is said."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number.

        Raises:
            click.BadParameter: If it is none, not finite, or outside.
        """
        # It takes text as well, whatever it is declared to take.
        number = float(super().convert(cast("float", value), param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number that can be used here.", param, ctx)
        return number
