"""Requests in, verified images out: the client of one server.

::

    Client.txt2img ──▶ prepare ──▶ execute ──▶ finish ──▶ Result
                       compile,    one POST,   decode and check every image,
                       encode      follow-ups  metadata, asked = applied

Each name is fetched from its module when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdclient._late import late

if TYPE_CHECKING:
    from sdclient.client.asynchronous import AsyncClient
    from sdclient.client.client import Client
    from sdclient.client.finishing import finish
    from sdclient.client.generation import PreparedGeneration, RawGeneration, execute, prepare
    from sdclient.client.progress import StepProgress, WatchPolicy
    from sdclient.client.result import Change, Losses, Result
    from sdclient.client.seeds import with_seed

__all__ = [
    "AsyncClient",
    "Change",
    "Client",
    "Losses",
    "PreparedGeneration",
    "RawGeneration",
    "Result",
    "StepProgress",
    "WatchPolicy",
    "execute",
    "finish",
    "prepare",
    "with_seed",
]

__getattr__ = late(
    __name__,
    {
        "AsyncClient": "asynchronous",
        "Change": "result",
        "Client": "client",
        "Losses": "result",
        "PreparedGeneration": "generation",
        "RawGeneration": "generation",
        "Result": "result",
        "StepProgress": "progress",
        "WatchPolicy": "progress",
        "execute": "generation",
        "finish": "finishing",
        "prepare": "generation",
        "with_seed": "seeds",
    },
)
