"""Requests in, verified images out: the client of one server.

::

    Client.txt2img ──▶ prepare ──▶ execute ──▶ finish ──▶ Result
                       compile,    one POST,   decode and check every image,
                       encode      follow-ups  metadata, asked = applied
"""

from __future__ import annotations

from sdclient.client.asynchronous import AsyncClient
from sdclient.client.client import Client, with_seed
from sdclient.client.finishing import finish
from sdclient.client.generation import PreparedGeneration, RawGeneration, execute, prepare
from sdclient.client.progress import StepProgress, WatchPolicy
from sdclient.client.result import Change, Losses, Result

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
