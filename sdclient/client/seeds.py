"""Seeds are drawn here, never by the server: so they are known and recorded."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from sdclient.schemas import Request

RequestT = TypeVar("RequestT", bound="Request")
MAX_SEED = 2**32 - 1


def with_seed(request: RequestT) -> RequestT:
    """Return the request with a seed, drawn where it is -1 or unset."""
    if request.seed is not None and request.seed >= 0:
        return request
    return request.replace(seed=secrets.randbelow(MAX_SEED + 1))
