"""What can be found out about an output folder, and about the machine that works on it."""

from __future__ import annotations

import sys
from pathlib import Path

from sdclient.doctor.finding import Finding
from sdclient.engines.awake import awake_command
from sdclient.files import probe_folder

_MACOS = "darwin"


def look_at_folder(folder: Path, *, platform: str = sys.platform) -> list[Finding]:
    """Try out what a folder's file system guarantees, and whether this machine can be kept awake.

    Args:
        folder: The output folder; where it is missing, the nearest folder above it is tried.
        platform: The system this runs on, for its hints.
    """
    tried = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
    facts = probe_folder(tried)
    name = facts.filesystem or "an unknown file system"
    findings: list[Finding] = []
    if tried != folder.absolute():
        findings.append(
            Finding("note", str(folder), f"is not there yet; it will be made, and {tried} was tried instead")
        )
    if facts.problem:
        findings.append(
            Finding("wrong", str(folder), f"{name}: {facts.problem}{_privacy_hint(facts.writable, platform)}")
        )
    else:
        text = f"{name}: exclusive names, safe commits and flushing hold; {facts.free_bytes / 1e9:.1f} GB free"
        findings.append(Finding("good", str(folder), text))
    if facts.synced_by:
        text = f"{facts.synced_by} seems to keep it in step; never share such a folder between machines for a run"
        findings.append(Finding("note", str(folder), text))
    return [*findings, _awake()]


def _privacy_hint(writable: bool, platform: str) -> str:  # noqa: FBT001 - one question, one answer
    if platform == _MACOS and not writable:
        return "; on macOS also look at System Settings, Privacy & Security, Files and Folders"
    return ""


def _awake() -> Finding:
    awake = awake_command()
    text = f"kept awake during runs by {awake[0]}" if awake else "cannot be kept awake from here; switch sleep off"
    return Finding("good" if awake else "note", "this machine", text)
