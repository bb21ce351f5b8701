"""What was asked of a simulated server, and when."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace

from sdclient.simulator.facts import JsonValue

__all__ = ["Exchange", "ExchangeLog"]

# A long run posts gigabytes of images; beyond this much the older bodies keep only their short values.
_KEPT_BYTES = 256 * 1024 * 1024
_SHORT_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the status it was answered with.

    Attributes:
        method: Upper-case HTTP method.
        path: Path without the query.
        status: HTTP status of the answer; 0 if the connection was dropped without one.
        body: The JSON body, or None where there was none. In a very long log, long strings of old bodies are cut.
        started_s: When the whole request had arrived, on the monotonic clock.
        ended_s: When the answer was ready, on the monotonic clock.
        fault: Name of the fault it was answered with, or "".
        handed_s: When the last byte of the answer had been handed over, on the monotonic clock; 0 before that.
    """

    method: str
    path: str
    status: int
    body: JsonValue
    started_s: float
    ended_s: float
    fault: str = ""
    handed_s: float = 0.0


class ExchangeLog:
    """A thread-safe list of exchanges that stays within bounded memory."""

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []
        self._sizes: list[int] = []
        self._kept_bytes = kept_bytes
        self._held_bytes = 0
        self._first_whole = 0

    def append(self, exchange: Exchange, size_bytes: int) -> int:
        """Record one exchange whose body was `size_bytes` long; returns its number, for `hand_over`."""
        with self._lock:
            number = len(self._exchanges)
            self._exchanges.append(exchange)
            self._sizes.append(size_bytes)
            self._held_bytes += size_bytes
            while self._held_bytes > self._kept_bytes and self._first_whole < len(self._exchanges) - 1:
                self._shorten(self._first_whole)
                self._first_whole += 1
            return number

    def hand_over(self, number: int, now_s: float) -> None:
        """Note that an exchange's answer has left in full."""
        with self._lock:
            self._exchanges[number] = replace(self._exchanges[number], handed_s=now_s)

    def exchanges(self) -> list[Exchange]:
        """Give everything so far, in the order of answering."""
        with self._lock:
            return list(self._exchanges)

    def summary(self) -> dict[str, JsonValue]:
        """Count the POST requests per path and per status, for readers in other processes."""
        posts = [exchange for exchange in self.exchanges() if exchange.method == "POST"]
        paths: dict[str, JsonValue] = dict(Counter(exchange.path for exchange in posts))
        statuses: dict[str, JsonValue] = dict(Counter(str(exchange.status) for exchange in posts))
        return {"posts": paths, "statuses": statuses}

    def faults(self) -> dict[str, JsonValue]:
        """Count the faults that were handed out, by name."""
        return dict(Counter(exchange.fault for exchange in self.exchanges() if exchange.fault))

    def _shorten(self, index: int) -> None:
        exchange = self._exchanges[index]
        self._exchanges[index] = replace(exchange, body=_without_long_strings(exchange.body))
        self._held_bytes -= self._sizes[index]


def _without_long_strings(value: JsonValue) -> JsonValue:
    if isinstance(value, str) and len(value) > _SHORT_CHARS:
        return f"<{len(value)} characters left out>"
    if isinstance(value, list):
        return [_without_long_strings(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_long_strings(item) for key, item in value.items()}
    return value
