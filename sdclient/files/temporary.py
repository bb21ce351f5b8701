"""Names of unfinished files, which tell who writes them: what a process that is gone has left may be taken away."""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

from sdclient.files.identity import ProcessIdentity, own_identity
from sdclient.files.trouble import StrPath

__all__ = ["TEMPORARY_PREFIX", "is_abandoned", "temporary_name"]

TEMPORARY_PREFIX = ".tmp-"
_NAME = re.compile(r"\.tmp-([0-9a-f]{12})-(\d+)-([0-9.]*)-[0-9a-f]{8}(\.[a-z]+)?")


def temporary_name(folder: StrPath, suffix: str = "") -> Path:
    """Name a file in `folder` that nobody else will choose: hidden, and with the process that is at it."""
    here = own_identity()
    return Path(folder) / f"{TEMPORARY_PREFIX}{_machine(here)}-{here.pid}-{here.start}-{secrets.token_hex(4)}{suffix}"


def is_abandoned(name: str) -> bool:
    """Tell whether the process that made a temporary name has ended; False wherever that cannot be known from here."""
    match, here = _NAME.fullmatch(name), own_identity()
    if match is None or match[1] != _machine(here):
        return False
    return ProcessIdentity(here.boot, here.namespace, int(match[2]), match[3]).is_certainly_gone()


def _machine(who: ProcessIdentity) -> str:
    """Shorten boot and namespace to what fits into a name."""
    return hashlib.sha256(f"{who.boot} {who.namespace}".encode()).hexdigest()[:12]
