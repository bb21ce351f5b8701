"""``--size`` and ``--fit`` under the name that plans know them by; the rules themselves are `client.sizes`."""

from __future__ import annotations

from sdclient.client.sizes import Fit, SizeRule, parse_size, round_down, round_up

__all__ = ["Fit", "SizeRule", "parse_size", "round_down", "round_up"]
