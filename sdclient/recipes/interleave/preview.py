"""A page with a run's newest images that renews itself: previews without windows that something has to close."""

from __future__ import annotations

import html
import logging
from collections import deque
from pathlib import Path
from urllib.parse import quote

from sdclient.batch.events import Event
from sdclient.batch.views import require_ours
from sdclient.errors import StorageError
from sdclient.files import storage_errors, write_durable

log = logging.getLogger(__name__)

PAGE = "preview.html"
_MARK = b"<title>Newest images</title>"
_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.4 system-ui,sans-serif;margin:1rem}"
    "main{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr))}"
    "figure{margin:0}img{width:100%;height:auto;display:block}figcaption{overflow-wrap:anywhere}"
)


class PreviewPage:
    """Writes the page whenever an image is done; a listener of a run.

    Args:
        out: The output folder.
        most: Images on the page at most, the newest first.

    Raises:
        StorageError: If another page has its name.
    """

    def __init__(self, out: Path, most: int) -> None:
        self.path = out / PAGE
        self._out = out
        self._newest: deque[str] = deque(maxlen=most)
        with storage_errors("look at", self.path):
            require_ours(self.path, [_MARK])
        self._write(is_over=False)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if event.name != "done":
            return
        # The extension follows the bytes received, so the folder is asked for it.
        stem = self._out / f"{event.place}_1"
        found = [stem.with_name(stem.name + suffix) for suffix in (".png", ".jpg", ".webp")]
        self._newest.extend(path.relative_to(self._out).as_posix() for path in found if path.is_file())
        self._write(is_over=False)

    def close(self) -> None:
        """Write the page a last time, without renewing itself."""
        self._write(is_over=True)

    def _write(self, *, is_over: bool) -> None:
        renew = "" if is_over else '<meta http-equiv="refresh" content="2">'
        figures = "".join(
            f'<figure><img src="{quote(place)}" alt="{html.escape(place)}"><figcaption>{html.escape(place)}</figcaption></figure>'
            for place in reversed(self._newest)
        )
        page = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8">{renew}<title>Newest images</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
            f"<body><h1>Newest images</h1><main>{figures or 'None yet.'}</main></body></html>\n"
        )
        try:
            write_durable(self.path, page.encode())
        except StorageError as exc:
            # A preview is not worth an image: the run goes on.
            log.warning("the preview was not written: %s", exc)
