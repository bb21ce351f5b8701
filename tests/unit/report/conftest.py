"""Run folders for the tests of the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.report.builder import RunBuilder, study


@pytest.fixture
def builder(tmp_path: Path) -> RunBuilder:
    """An empty run folder to plan, commit and log in."""
    return RunBuilder.at(tmp_path / "OUT")


@pytest.fixture
def studied(tmp_path: Path) -> RunBuilder:
    """A small study: generated, baked, cut up, one failure, one job set aside."""
    return study(tmp_path / "OUT")
