"""Rows of text as DataFrames: figures are numbers, what is unknown is missing, and nobody's words are lost."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sdclient.batch.log import ATTEMPT_COLUMNS
from sdclient.run import Run
from sdclient.tables import typed
from tests.unit.report.builder import RunBuilder

WORDS = {"job", "kind", "place", "status", "files", "server", "dialect", "worker", "energy_source", "error", "message"}


def test_every_figure_of_an_attempt_is_a_number_and_its_time_a_time() -> None:
    row = dict.fromkeys(ATTEMPT_COLUMNS, "1.5") | {"started": "2026-01-01T12:00:00+00:00"}

    frame = typed([row], ATTEMPT_COLUMNS)

    assert {name for name in frame if pd.api.types.is_numeric_dtype(frame[name])} == {*ATTEMPT_COLUMNS} - WORDS - {
        "started"
    }
    assert frame.loc[0, "started"] == pd.Timestamp("2026-01-01T12:00:00Z")


def test_an_unknown_figure_is_missing_and_never_nought() -> None:
    frame = typed([dict.fromkeys(ATTEMPT_COLUMNS, "")], ATTEMPT_COLUMNS)

    assert frame["energy_wh"].isna().all()
    assert frame["energy_above_idle_wh"].isna().all()
    assert pd.api.types.is_numeric_dtype(frame["energy_above_idle_wh"])


@pytest.mark.parametrize(("given", "kept"), [("large", "large"), ("12", 12)])
def test_a_column_of_ones_own_that_sounds_like_figures_keeps_its_words(
    tmp_path: Path, given: str, kept: object
) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    run.commit(run.plan("fox", columns={"frame_px": given}))

    images = Run.open(run.out).images()

    assert images.loc[0, "frame_px"] == kept
