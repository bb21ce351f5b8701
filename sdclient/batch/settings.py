"""``run.json``: what is chosen once for a run and holds on every machine."""

from __future__ import annotations

import json
import logging
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sdclient.batch.plan import FORMAT
from sdclient.errors import ConfigurationError, RunFolderError, StorageError
from sdclient.files import FolderFacts, create_whole, probe_folder

log = logging.getLogger(__name__)

LEASE_S = 90.0
BEAT_S = 10.0
_PATIENCE_S = 2.0
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What ``run.json`` holds.

    Attributes:
        run_seed: From which every job's seed is drawn.
        lease_s: Seconds of silence after which a worker is taken for dead.
        beat_s: Seconds between signs of life.
        one_machine: Why only one machine may work on the run; empty where several may.
    """

    run_seed: int
    lease_s: float = LEASE_S
    beat_s: float = BEAT_S
    one_machine: str = ""


def begin_settings(
    state: Path,
    *,
    run_seed: int | None,
    lease_s: float,
    beat_s: float,
    probe: Callable[[Path], FolderFacts] = probe_folder,
) -> None:
    """Write ``run.json`` into a folder that has none, after trying out what the folder can do.

    Args:
        state: The run's own folder; exists.
        run_seed: The run's seed; None draws one.
        lease_s: The lease, in seconds.
        beat_s: The beat, in seconds.
        probe: Tries out the folder.

    Raises:
        ConfigurationError: If lease and beat do not go together.
        RunFolderError: If no run is safe in this folder.
        StorageError: If it cannot be written.
    """
    path = state / "run.json"
    if path.exists():
        return
    if not (math.isfinite(lease_s) and 0 < 2 * beat_s <= lease_s):
        raise ConfigurationError(
            f"lease_s={lease_s:g}, beat_s={beat_s:g}: a lease must be at least two beats long, and both above 0"
        )
    facts = probe(state)
    refuse_unsafe(state, facts)
    value: dict[str, object] = {
        "format": FORMAT,
        "run_seed": secrets.randbits(32) if run_seed is None else run_seed,
        "lease_s": lease_s,
        "beat_s": beat_s,
    }
    reason = why_one_machine(facts)
    if reason:
        value["one_machine"] = reason
    create_whole(path, (json.dumps(value) + "\n").encode())


def refuse_unsafe(state: Path, facts: FolderFacts) -> None:
    """Refuse a folder in which jobs could be done twice or results be overwritten.

    Raises:
        RunFolderError: If names are not won once there, or folders with content are replaced.
        StorageError: If nothing can be written.
    """
    if not facts.writable:
        raise StorageError(facts.problem or f"{state}: cannot be written; choose another folder")
    if not (facts.exclusive_create and facts.directory_rename_refuses):
        raise RunFolderError(facts.problem or f"{state}: this file system cannot hold a run; choose another folder")
    if not facts.fsync_ok:
        log.warning("%s: flushing fails here; a power cut may lose finished images", state)


def why_one_machine(facts: FolderFacts) -> str:
    """Say why a folder must not be shared between machines; empty where it may be."""
    if facts.synced_by:
        return f"it is kept in step by {facts.synced_by}, which cannot decide between two machines"
    if facts.filesystem.lower() in ("afpfs", "afp"):
        return "AFP shares do not keep what a shared run needs; use SMB or NFS"
    if not facts.rewrite_visible:
        return "signs of life cannot be seen there"
    return ""


def read_settings(state: Path, *, sleep: Callable[[float], None] = time.sleep) -> RunSettings:
    """Read ``run.json``.

    Args:
        state: The run's own folder.
        sleep: Waits the given number of seconds, for a file that is just being written elsewhere.

    Raises:
        RunFolderError: If there is none, it is damaged, or its format is newer than this program.
    """
    waited_s = 0.0
    while True:
        try:
            return _parse(state)
        except RunFolderError as exc:
            # Without hard links the name is there before the content.
            if waited_s >= _PATIENCE_S or not isinstance(exc.__cause__, ValueError):
                raise
        sleep(_PAUSE_S)
        waited_s += _PAUSE_S


def holds_another_run(state: Path, run_seed: int) -> bool:
    """Tell whether a folder holds a run of another seed: somebody removed the one that was there, and made one anew.

    Args:
        state: The run's own folder.
        run_seed: The seed of the run that was there.

    Returns:
        False also where there is none now, or none that can be read.
    """
    try:
        return _parse(state).run_seed != run_seed
    except RunFolderError:
        return False


def _parse(state: Path) -> RunSettings:
    path = state / "run.json"
    try:
        value = json.loads(path.read_bytes())
        if value["format"] != FORMAT:
            raise RunFolderError(
                f"{path}: written in format {value['format']!r}, this program reads {FORMAT}; update sdclient"
            )
        return RunSettings(
            int(value["run_seed"]),
            float(value["lease_s"]),
            float(value["beat_s"]),
            str(value.get("one_machine", "")),
        )
    except FileNotFoundError:
        raise RunFolderError(
            f"{state.parent}: no run here (no {state.name}/run.json); name the output folder of a run"
        ) from None
    except OSError as exc:
        raise RunFolderError(f"{path}: cannot be read ({exc.strerror})") from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise RunFolderError(
            f"{path}: damaged ({exc}); restore it from a backup, or use another output folder"
        ) from exc
