"""What can be found out about an output folder, and about the machine that works on it."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

from sdclient.doctor.finding import Finding
from sdclient.engines.awake import awake_command
from sdclient.files import FolderFacts, probe_folder

_MACOS = "darwin"
_WINDOWS = "win32"
_LOW_BYTES = 2e9


def look_at_folder(folder: Path, *, platform: str = sys.platform) -> list[Finding]:
    """Try out what a folder's file system guarantees, and how much room there is.

    Args:
        folder: The output folder; where it is missing, the nearest folder above it is tried.
        platform: The system this runs on, for its hints.
    """
    try:
        whole = folder.absolute()
    except OSError as exc:
        text = f"the working folder cannot be found: {exc.strerror or exc}; go to one that is there"
        return [Finding("wrong", str(folder), text, "folder")]
    there = (place for place in (whole, *whole.parents) if os.path.isdir(place))  # noqa: PTH112 - never raises
    # Windows has drives that are not there, and nothing above them.
    tried = next(there, whole)
    facts = probe_folder(tried)
    told: dict[str, bool | int | str | None] = {"tried": str(tried), **dataclasses.asdict(facts)}
    findings: list[Finding] = []
    if tried != whole:
        text = f"is not there yet; it will be made, and {tried} was tried instead"
        findings.append(Finding("note", str(folder), text, "folder"))
    name = facts.filesystem or "an unknown file system"
    if facts.problem:
        problem = facts.problem.removeprefix(f"{tried}: ")
        text = f"{name}: {problem}{_privacy_hint(tried, facts, platform)}"
        findings.append(Finding("wrong", str(folder), text, "folder", told))
    else:
        text = f"{name}: exclusive names, safe commits and flushing hold; {facts.free_bytes / 1e9:.1f} GB free"
        findings.append(Finding("good", str(folder), text, "folder", told))
    if facts.writable and facts.free_bytes < _LOW_BYTES:
        text = f"only {facts.free_bytes / 1e9:.1f} GB free: about {facts.free_bytes // 8_000_000} images of 2048x2048"
        findings.append(Finding("note", str(folder), text, "folder"))
    if facts.synced_by:
        text = f"{facts.synced_by} seems to keep it in step; never share such a folder between machines for a run"
        findings.append(Finding("note", str(folder), text, "folder"))
    return findings


def _privacy_hint(tried: Path, facts: FolderFacts, platform: str) -> str:
    if platform != _MACOS or facts.writable:
        return ""
    where = "Full Disk Access or Files and Folders" if tried.parts[1:2] == ("Volumes",) else "Files and Folders"
    return f"; on macOS also look at System Settings, Privacy & Security, {where}, and allow your terminal"


def look_at_machine(*, platform: str = sys.platform) -> Finding:
    """Say whether this machine will be kept awake during runs."""
    # Windows is asked by a call instead of a program.
    by = "a call to Windows" if platform == _WINDOWS else next(iter(awake_command(platform) or ()), None)
    text = f"kept awake during runs by {by}" if by else "cannot be kept awake from here; switch sleep off"
    return Finding("good" if by else "note", "this machine", text, "machine", {"kept_awake_by": by})
