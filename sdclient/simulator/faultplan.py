"""Which request gets which fault: decided by its number and a seed, never by timing."""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sdclient.simulator.dialect import Call

__all__ = ["Fault", "FaultPlan", "parse_fault"]

_GENERATION = ("txt2img", "img2img", "control", "extra-single-image", "extra-batch-images")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and how it is dosed.

    Attributes:
        name: A key of `FAULTS`.
        share: Part of the requests that get it, 0 to 1.
        number: The one request that gets it, counted from 1, or None for all by their share.
        everywhere: Whether every route gets it; else only those that make images.
        seconds: What the fault takes for a time: until it ends, between bytes, down, or in Retry-After. None for its own.
        megabytes: What the fault takes for a size. None for its own.
    """

    name: str
    share: float = 1.0
    number: int | None = None
    everywhere: bool = False
    seconds: float | None = None
    megabytes: float | None = None


def parse_fault(text: str, names: Sequence[str]) -> Fault:
    """Read `NAME[:p=0.05][,n=3][,s=2][,mb=64][,on=all]`.

    Args:
        text: What was written.
        names: The faults there are.

    Raises:
        ValueError: If there is no such fault, or a setting makes no sense.
    """
    name, _, settings = text.partition(":")
    if name not in names:
        raise ValueError(f"simulator: no fault {name!r}; choose one of {', '.join(names)}")
    fault = Fault(name)
    for setting in filter(None, settings.split(",")):
        key, _, value = setting.partition("=")
        try:
            fault = _with_setting(fault, key, value)
        except ValueError as error:
            raise ValueError(
                f"simulator: fault {name}: {setting!r} makes no sense; write p=0..1, n=1.., s=seconds, mb=size or on=all"
            ) from error
    return fault


def _with_setting(fault: Fault, key: str, value: str) -> Fault:
    if key == "p" and 0 <= float(value) <= 1:
        return replace(fault, share=float(value))
    if key == "n" and int(value) >= 1:
        return replace(fault, number=int(value))
    if key == "s" and float(value) >= 0:
        return replace(fault, seconds=float(value))
    if key == "mb" and float(value) > 0:
        return replace(fault, megabytes=float(value))
    if key == "on" and value in {"all", "generation"}:
        return replace(fault, everywhere=value == "all")
    raise ValueError(key)


class FaultPlan:
    """Hands out faults: first those that were put in line, then by number and chance.

    The n-th request that makes an image gets the same fault in every run with the same faults and seed, whatever else
    is asked meanwhile. Faults for every route count the requests of each path apart, for the same reason.

    Args:
        faults: What there is; where several fit one request, the first whose share is hit takes it.
        seed: Decides about the shares.
    """

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._narrow = [fault for fault in faults if not fault.everywhere]
        self._wide = [fault for fault in faults if fault.everywhere]
        self._seed = seed
        self._lock = threading.Lock()
        self._line: deque[Fault | None] = deque()
        self._counts: Counter[str] = Counter()

    def put_in_line(self, faults: Sequence[Fault | None]) -> None:
        """Say what the next requests get, None for a good answer; those for every route wait for generation too."""
        with self._lock:
            self._line.extend(faults)

    def next_for(self, call: Call) -> Fault | None:
        """Decide about one request that has just arrived."""
        generation = call.method == "POST" and call.path.rstrip("/").endswith(_GENERATION)
        with self._lock:
            self._counts[call.path] += 1
            wide_number = self._counts[call.path]
            if generation:
                self._counts[""] += 1
                if self._line:
                    return self._line.popleft()
            narrow = self._drawn(self._narrow, "", self._counts[""]) if generation else None
            return narrow or self._drawn(self._wide, call.path, wide_number)

    def _drawn(self, faults: Sequence[Fault], path: str, number: int) -> Fault | None:
        drawn = random.Random(f"{self._seed}/{path}/{number}").random()
        for fault in faults:
            if fault.number is not None:
                if fault.number == number:
                    return fault
            elif drawn < fault.share:
                return fault
            else:
                # What is left of the unit interval is for the others, so that shares add up.
                drawn -= fault.share
        return None
