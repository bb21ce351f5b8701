"""What a worker is called, and which process it is."""

from __future__ import annotations

import secrets

from sdclient.files.identity import ProcessIdentity, own_identity

__all__ = ["TOKEN_DIGITS", "ProcessIdentity", "new_token", "own_identity"]

TOKEN_DIGITS = 32
"""A worker's token is this many hexadecimal digits: 128 random bits, new for each process."""


def new_token() -> str:
    """Return a fresh worker token. Never derived from host name or process id: clones share those."""
    return secrets.token_hex(TOKEN_DIGITS // 2)
