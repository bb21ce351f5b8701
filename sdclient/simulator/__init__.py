"""A real HTTP server that behaves like each Stable Diffusion server program, without a GPU.

It knows nothing of the client: it checks requests against the fact tables in `sdclient/facts` and paints
deterministic scenes, so a wrong client cannot be excused by a simulator that shares its mistake.

Example::

    with Simulator("drawthings") as server:
        print(server.url)
        ...
        print([exchange.status for exchange in server.log])
"""

from __future__ import annotations

from sdclient.simulator.log import Exchange
from sdclient.simulator.server import DIALECTS, Simulator

__all__ = ["DIALECTS", "Exchange", "Simulator"]
