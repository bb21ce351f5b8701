"""Weights that are fetched before work begins, with a bar where a person looks on."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sdclient.cli.talk import byte_size, is_watched, say
from sdclient.errors import ChangedPlanError
from sdclient.weights import provide_weights

if TYPE_CHECKING:
    from sdclient.segment import SegmentSettings


@contextmanager
def missing_model_first(settings: SegmentSettings) -> Generator[None, None, None]:
    """Where cut-outs are planned otherwise, say first that there is no such model: nobody need make them anew for that.

    Raises:
        SegmentationError: If there is none.
    """
    try:
        yield
    except ChangedPlanError:
        from sdclient.segment.segmenter import require_model

        require_model(settings)
        raise


def fetch_with_progress(settings: SegmentSettings, *, dry_run: bool = False) -> bool:
    """Fetch a model's weights where they are missing, with a bar where a person looks on; False for a dry run without.

    What would be in the way afterwards, a missing package or device, is said before. Nothing is fetched for words.

    Raises:
        SegmentationError: If the weights do not come, or words shall be cut out with a model that knows none.
    """
    if settings.words:
        from sdclient.segment.words import word_models_folder

        word_models_folder(settings.model)
        return True
    from sdclient.segment.doors import require_segment_anything
    from sdclient.segment.sam import choose_device
    from sdclient.segment.weights import KNOWN_WEIGHTS, models_folder

    model = settings.model
    known = KNOWN_WEIGHTS.get(model)
    if known is None or (models_folder() / known.file_name).is_file():
        return True
    told = f"{known.file_name} ({byte_size(known.size_bytes)}) into {models_folder()}"
    if dry_run:
        say(f"{model}: its weights are not here yet; without --dry-run this fetches {told}, then looks further")
        return False
    require_segment_anything()
    choose_device(settings.device)
    say(f"fetching {told}; if that is broken off, the same command goes on")
    from tqdm import tqdm

    with tqdm(total=known.size_bytes, unit="B", unit_scale=True, file=sys.stderr, disable=not is_watched()) as bar:

        def show(here: int, _total: int) -> None:
            bar.n = here
            bar.refresh()

        provide_weights(model, on_progress=show)
    return True
