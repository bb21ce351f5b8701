"""Foreign payloads made into our requests: Draw Things' and A1111's JSON, copied configurations, image metadata."""

from __future__ import annotations

from sdclient.dialects.importing.door import FORMATS, Imported, guess_format, import_payload
from sdclient.dialects.importing.image import import_image
from sdclient.dialects.importing.window import snapshot

__all__ = ["FORMATS", "Imported", "guess_format", "import_image", "import_payload", "snapshot"]
