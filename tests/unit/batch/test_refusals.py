"""A server that refuses every request is told from jobs of which some are wrong."""

from __future__ import annotations

import pytest

from sdclient.batch.refusals import Refusals
from sdclient.errors import RejectedError, ServerFaultError


class TestRefusals:
    def test_three_in_the_same_words_are_enough(self) -> None:
        refusals = Refusals()
        for _ in range(2):
            refusals.bad(RejectedError("no such model"))
        assert not refusals.is_hopeless

        refusals.bad(RejectedError("no such model"))

        assert refusals.is_hopeless
        assert refusals.is_the_same(RejectedError("no such model"))
        assert not refusals.is_the_same(RejectedError("another"))
        assert "no such model" in refusals.sentence()
        assert "sdclient retry" in refusals.sentence()

    @pytest.mark.parametrize("between", ["success", "other words"])
    def test_counting_starts_anew_after_a_success_or_other_words(self, between: str) -> None:
        refusals = Refusals()
        for _ in range(2):
            refusals.bad(RejectedError("no such model"))
        if between == "success":
            refusals.good()
        else:
            refusals.bad(RejectedError("too wide"))
        refusals.bad(RejectedError("no such model"))

        assert not refusals.is_hopeless

    def test_failures_that_are_no_refusals_do_not_count(self) -> None:
        refusals = Refusals()
        for _ in range(5):
            refusals.bad(ServerFaultError("crashed"))

        assert not refusals.is_hopeless
