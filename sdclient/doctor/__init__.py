"""The doctor: what can be found out about a server, a payload and a folder before a run begins."""

from __future__ import annotations

from sdclient.doctor.finding import Finding, Level, findings_text
from sdclient.doctor.folder import look_at_folder, look_at_machine
from sdclient.doctor.payload import look_at_names
from sdclient.doctor.probe import probe_server
from sdclient.doctor.server import USUAL_PORTS, look_around, look_at_server

__all__ = [
    "USUAL_PORTS",
    "Finding",
    "Level",
    "findings_text",
    "look_around",
    "look_at_folder",
    "look_at_machine",
    "look_at_names",
    "look_at_server",
    "probe_server",
]
