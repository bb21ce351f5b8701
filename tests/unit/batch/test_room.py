"""What is said before a run that has less room than it needs."""

from __future__ import annotations

import pytest

from sdclient.batch.room import RESERVE_BYTES, kept_bytes, shortage

MB = 10**6


@pytest.mark.parametrize(("total", "kept"), [(10**12, RESERVE_BYTES), (10**9, 2 * 10**7), (0, 0)])
def test_of_a_small_disk_a_share_is_kept(total: int, kept: int) -> None:
    assert kept_bytes(total) == kept


@pytest.mark.parametrize(("needed", "free"), [(0, 64 * MB), (30 * MB, 94 * MB), (0, 10**12)])
def test_nothing_is_said_where_what_is_kept_stays_free(needed: int, free: int) -> None:
    assert shortage(needed, free, 64 * MB) == ""


@pytest.mark.parametrize(("needed", "free"), [(31 * MB, 94 * MB), (100 * MB, 94 * MB)])
def test_a_run_that_fits_only_without_what_is_kept_is_told_to_wait_later(needed: int, free: int) -> None:
    words = shortage(needed, free, 64 * MB)

    assert words.startswith("that is more than may be used, 64.00 MB are kept free: no further job is begun")


@pytest.mark.parametrize("needed", [1, 100 * MB])
def test_a_run_that_can_begin_nothing_is_told_so(needed: int) -> None:
    words = shortage(needed, 63 * MB, 64 * MB)

    assert words.startswith("64.00 MB are kept free for what is under way, and less is free: no job is begun before")
