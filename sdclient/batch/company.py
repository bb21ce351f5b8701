"""``servers.json``: the kind of server a run was begun on, so that unlike ones do not mix in by another machine."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass

from sdclient.batch.folder import RunFolder
from sdclient.files import create_whole

log = logging.getLogger(__name__)

_NAME = "servers.json"


@dataclass(frozen=True, slots=True)
class ServerKind:
    """What decides how a server draws, as far as requests leave it open.

    Attributes:
        dialect: Its dialect; empty where a run was begun on several kinds, with consent.
        model: The model it has loaded, where requests name none; else empty.
    """

    dialect: str
    model: str = ""

    @property
    def is_any(self) -> bool:
        """True where every server will do."""
        return not self.dialect

    def differs_from(self, other: ServerKind) -> bool:
        """Tell whether images of the two differ for that reason; what one of them does not know is no difference."""
        if self.is_any or other.is_any:
            return False
        return self.dialect != other.dialect or bool(self.model and other.model and self.model != other.model)

    def __str__(self) -> str:
        return f"{self.dialect} with {self.model}" if self.model else self.dialect


ANY = ServerKind("")
"""Every server will do."""


def begun_on(folder: RunFolder) -> ServerKind | None:
    """Return the kind a run was begun on; None where that is not known."""
    try:
        value = json.loads((folder.state / _NAME).read_bytes())
        return ServerKind(str(value["dialect"]), str(value.get("model", "")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        # It guards against a mistake; a run must not stop for a file that cannot be read.
        log.warning("%s: cannot be read (%s); servers are not compared with it", folder.state / _NAME, exc)
        return None


def begin_on(folder: RunFolder, kind: ServerKind) -> ServerKind:
    """Write down the kind a run is begun on, unless that was done before; return what holds.

    Raises:
        StorageError: If it can neither be written nor read.
    """
    if not create_whole(folder.state / _NAME, (json.dumps(asdict(kind)) + "\n").encode()):
        return begun_on(folder) or kind
    return kind
