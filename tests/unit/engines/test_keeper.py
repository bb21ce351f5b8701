"""What a node says before it gets work."""

from __future__ import annotations

from sdclient._version import __version__
from sdclient.batch.events import Listener
from sdclient.engines.keeper import NodeKeeper, NodeReport
from sdclient.errors import ConfigurationError, NotListeningError


class Away:
    """Work that cannot begin here."""

    def refusal(self) -> str:
        return "it does not see the run"

    def look(self) -> str:
        raise NotListeningError("nobody listens")

    def start(self, listener: Listener) -> NodeKeeper:  # noqa: ARG002 - nothing happens that it could be told of
        raise ConfigurationError("mini is away")


def test_a_node_with_another_version_is_refused_with_both() -> None:
    said = NodeKeeper(Away()).refusal("0.9.1")

    assert said == (f"it has sdclient {__version__}, and the run is led by 0.9.1; install the same everywhere")


def test_a_node_of_the_same_version_answers_for_its_work() -> None:
    assert NodeKeeper(Away()).refusal(__version__) == "it does not see the run"


def test_work_that_cannot_begin_is_reported_in_words() -> None:
    assert NodeKeeper(Away()).run() == NodeReport(left="mini is away", is_refusal=True)


def test_a_server_that_is_away_is_no_refusal() -> None:
    assert NodeKeeper(Away()).look() == NodeReport(left="nobody listens")
