"""The GPU of an SD.Next server, wherever it runs, by what its route ``/sdapi/v1/gpu`` tells."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import cast

from sdclient.energy.reading import Reading
from sdclient.errors import SDClientError

_WATTS = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?W\b")
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?MB used")
_LOAD = re.compile(r"GPU ([0-9]+(?:\.[0-9]+)?) ?%")


class SdNextSource:
    """All GPUs of one SD.Next server. It counts no energy, so that is added up from the power between two looks.

    Args:
        ask: Asks the route and returns the decoded reply; a few milliseconds on a home network.
    """

    name = "sdnext"

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask

    def read(self) -> Reading | None:
        """Ask now; None where the server does not answer, or knows no GPU."""
        try:
            reply = self._ask()
        except SDClientError:
            return None
        return read_gpu_reply(reply)


def read_gpu_reply(reply: object) -> Reading | None:
    """Read a reply of the route: a list of GPUs, each with texts such as ``Power: 35.2 W / 450.0 W``.

    Returns:
        The figures of all GPUs together; None where there is no GPU in it.
    """
    if not isinstance(reply, list) or not reply:
        return None
    gpus = [_texts(one) for one in cast("list[object]", reply)]
    power = _sum(_WATTS, [one.get("Power", "") for one in gpus])
    memory = _sum(_MEMORY, [one.get("VRAM usage", "") for one in gpus])
    loads = [float(found[1]) for one in gpus if (found := _LOAD.search(one.get("System load", "")))]
    reading = Reading(None, power, power, max(loads) if len(loads) == len(gpus) else None, memory)
    return None if reading == Reading() else reading


def _texts(gpu: object) -> Mapping[str, str]:
    data = cast("Mapping[str, object]", gpu).get("data") if isinstance(gpu, dict) else None
    if not isinstance(data, dict):
        return {}
    return {name: text for name, text in cast("Mapping[str, object]", data).items() if isinstance(text, str)}


def _sum(pattern: re.Pattern[str], texts: list[str]) -> float | None:
    found = [match for text in texts if (match := pattern.search(text))]
    # One GPU without the figure makes the sum a guess.
    return sum(float(match[1]) for match in found) if len(found) == len(texts) else None
