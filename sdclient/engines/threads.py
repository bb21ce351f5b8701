"""The engine of one machine: one worker in this process, one loop per server and segmenter."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from sdclient.batch.events import Event, Listener
from sdclient.batch.folder import RunFolder
from sdclient.batch.lane import Lane
from sdclient.batch.pipeline import Stop
from sdclient.batch.survey import Counts
from sdclient.batch.worker import Worker, WorkerResult, WorkerSettings
from sdclient.engines.awake import kept_awake
from sdclient.engines.hooks import Hooks, HookSettings


class ThreadsEngine:
    """Runs one worker in this process until it is done or told to stop.

    Args:
        folder: The run.
        lanes: Servers and segmenters.
        settings: How to take part.
        listener: Told of everything that happens.
        keep_awake: Whether to hold the machine awake meanwhile.
        hooks: Who is told of trouble and of the end.

    Raises:
        ConfigurationError: If somebody could never be told.
    """

    def __init__(
        self,
        folder: RunFolder,
        lanes: Sequence[Lane],
        settings: WorkerSettings,
        *,
        listener: Listener | None = None,
        keep_awake: bool = True,
        hooks: HookSettings | None = None,
    ) -> None:
        asked = hooks is not None and hooks.is_any
        names = [lane.name for lane in lanes]
        self._hooks = Hooks(folder.out, names, hooks, complain=self.tell) if hooks is not None and asked else None
        self._worker = Worker(folder, lanes, settings, self._told_too(listener))
        self._keep_awake = keep_awake
        self._result: WorkerResult | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def _told_too(self, listener: Listener | None) -> Listener | None:
        hooks = self._hooks
        if hooks is None or listener is None:
            return listener if hooks is None else hooks.listen

        def listen(event: Event) -> None:
            hooks.listen(event)
            listener(event)

        return listen

    def start(self) -> None:
        """Start working in the background."""
        self._thread = threading.Thread(target=self._work, name="sdclient-worker")
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """True while it works."""
        return self._thread is not None and self._thread.is_alive()

    def counts(self) -> Counts:
        """Count the jobs by where they stand."""
        return self._worker.counts()

    def look_again(self) -> None:
        """Have the plan read again at once."""
        self._worker.look_again()

    def tell(self, text: str) -> None:
        """Tell the listener something people should know."""
        self._worker.tell(text)

    def wait(self, timeout_s: float | None = None) -> WorkerResult | None:
        """Wait for the end; None when the time was over before."""
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                return None
        if self._error is not None:
            raise self._error
        return self._result

    def stop(self, how: Stop) -> None:
        """Ask to stop."""
        self._worker.stop(how)

    def _work(self) -> None:
        awake: AbstractContextManager[object] = kept_awake() if self._keep_awake else nullcontext()
        try:
            with awake:
                self._result = self._worker.run()
        except BaseException as exc:  # noqa: BLE001 - carried to the thread that waits
            self._error = exc
        finally:
            self._tell_end()

    def _tell_end(self) -> None:
        if self._hooks is None:
            return
        counts = self._result.counts if self._result is not None else self._worker.counts()
        trouble = self._error or (self._result.trouble if self._result is not None else None)
        self._hooks.end(counts, trouble)
