"""The doctor: what can be found out about a server, a payload and a folder before a run begins."""

from __future__ import annotations

from sdclient.doctor.finding import Finding, Level
from sdclient.doctor.folder import look_at_folder
from sdclient.doctor.probe import probe_server
from sdclient.doctor.server import USUAL_PORTS, look_around, look_at_server

__all__ = ["USUAL_PORTS", "Finding", "Level", "look_around", "look_at_folder", "look_at_server", "probe_server"]
