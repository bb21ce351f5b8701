"""A run folder as Hugging Face ``datasets`` loads it: as it is, with nothing prepared by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdclient.report import make_grid, write_grid, write_report
from tests.unit.report.builder import study


def test_a_run_loads_as_it_is_with_images_and_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed (pip install datasets)")
    run = study(tmp_path / "OUT")
    (run.out / "generated/Greek/fox_1.png").unlink()
    write_report(run.fresh())
    write_grid(run.fresh(), make_grid(run.fresh(), "nation", "category"), run.out / "grid.png")

    loaded = datasets.load_dataset("imagefolder", data_dir=str(run.out), split="train", cache_dir=str(tmp_path / "c"))

    assert len(loaded) == 5
    assert sorted(loaded["nation"]) == ["Greek", "Italian", "Italian", "Italian", "Italian"]
    assert set(loaded["seed"]) == {7, 8}
    assert {image.size for image in loaded["image"]} == {(64, 48)}
    assert "a Italian fox" in loaded["prompt"]
