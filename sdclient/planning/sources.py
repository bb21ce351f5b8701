"""Folders that are watched while a run works, and what becomes of the images that appear in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from sdclient.planning.arrivals import Arrivals, Watch
from sdclient.planning.finding import FoundImages, LeftOut
from sdclient.planning.jobs import JobList, Spec, kind_of

PlannedFolder: TypeAlias = tuple[JobList, tuple[LeftOut, ...]]
"""The jobs of a folder's images, and what was left out."""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder that is watched.

    Attributes:
        folder: The folder.
        spec: What is done with its images.
        plan: Plans images of it.
        arrivals: Tells which have come.
        watch: How it is watched.
    """

    folder: Path
    spec: Spec
    plan: Callable[[FoundImages], PlannedFolder]
    arrivals: Arrivals
    watch: Watch

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of jobs that may come."""
        return frozenset({kind_of(self.spec)})


@dataclass(frozen=True, slots=True)
class Planned:
    """What became of images that appeared.

    Attributes:
        jobs: How many jobs are new.
        remarks: Sentences for people.
    """

    jobs: int
    remarks: tuple[str, ...] = ()
