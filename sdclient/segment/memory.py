"""How torch says that a device's memory does not suffice."""

from __future__ import annotations

__all__ = ["is_out_of_memory"]


def is_out_of_memory(exc: BaseException) -> bool:
    """Tell whether an error means that a device's memory does not suffice: CUDA, MPS and CPU say it differently."""
    text = str(exc).lower()
    return isinstance(exc, MemoryError) or "out of memory" in text or "can't allocate memory" in text
