"""Ending calls from another thread: the cancel token, given to a call or to all calls of a block."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["CancelToken", "ended_by", "token_of_block"]

_log = logging.getLogger(__name__)
_block = threading.local()


class CancelToken:
    """A switch that is thrown once and ends every call it was given to.

    Thread-safe, and safe to throw from a signal handler. One token may serve any number of calls, at the
    same time or one after the other; it cannot be reset.
    """

    def __init__(self) -> None:
        # Reentrant: a signal handler may throw the switch while its own thread is inside `subscribe`.
        self._lock = threading.RLock()
        self._cancelled = False
        self._callbacks: dict[object, Callable[[], object]] = {}

    @property
    def cancelled(self) -> bool:
        """True once `cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """End the running calls and those to come. A second time does nothing."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            _run(callback)

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Have `callback` called when the switch is thrown; at once where it already is.

        Args:
            callback: Called at most once, in the thread that cancels; short, and not to raise
                (what it raises is logged, so that the other callbacks still run).

        Returns:
            A function that takes the callback off again; harmless when called late or twice.
        """
        key = object()
        with self._lock:
            if not self._cancelled:
                self._callbacks[key] = callback
                return lambda: self._unsubscribe(key)
        _run(callback)
        return lambda: None

    def wait(self, timeout_s: float) -> bool:
        """Sleep until the switch is thrown, `timeout_s` seconds at most; return whether it is."""
        # A SimpleQueue, unlike an Event, may be fed by a signal handler that interrupted this very wait.
        woken: queue.SimpleQueue[None] = queue.SimpleQueue()
        unsubscribe = self.subscribe(lambda: woken.put(None))
        try:
            woken.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            pass
        finally:
            unsubscribe()
        return self._cancelled

    def _unsubscribe(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)


@contextmanager
def ended_by(token: CancelToken | None) -> Generator[None, None, None]:
    """Let a token end every call that this thread makes inside the block without one of its own; None changes nothing."""
    before = token_of_block()
    _block.token = token or before
    try:
        yield
    finally:
        _block.token = before


def token_of_block() -> CancelToken | None:
    """Return the token of the innermost `ended_by` block this thread is in; None outside."""
    token = getattr(_block, "token", None)
    return token if isinstance(token, CancelToken) else None


def _run(callback: Callable[[], object]) -> None:
    """Call back, and let no callback's failure keep the others from being called."""
    try:
        callback()
    except Exception:  # noqa: BLE001 - the callbacks are foreign code
        _log.exception("a cancel callback failed")
