"""A real HTTP server that behaves like each Stable Diffusion server program, without a GPU.

It knows nothing of the client: it checks requests against the fact tables in `sdclient/facts` and paints
deterministic scenes, so a wrong client cannot be excused by a simulator that shares its mistake.

Example::

    with Simulator("drawthings", faults=["reset:p=0.05"], seed=7) as server:
        print(server.url)
        server.next_faults("black", None, "hang:s=2")
        ...
        print([(exchange.status, exchange.fault) for exchange in server.log])
"""

from __future__ import annotations

from sdclient.simulator.faults import FAULTS
from sdclient.simulator.log import Exchange
from sdclient.simulator.server import DIALECTS, Simulator

__all__ = ["DIALECTS", "FAULTS", "Exchange", "Simulator"]
