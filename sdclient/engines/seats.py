"""One post of a cluster: who fills it, what is asked of its node before work begins, and what was heard of it."""

# Ray leaves the types of many results and arguments open; mypy checks what it has.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sdclient._version import __version__
from sdclient.batch.events import Event
from sdclient.batch.pipeline import Stop
from sdclient.engines.keeper import NodeKeeper, NodeReport, Post
from sdclient.engines.rays import first_line

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Seat:
    """A post, and who fills it now.

    Attributes:
        post: Who is needed.
        actor: Who is there; Ray starts it anew when it dies.
        question: Whether its node can take part; asked before work is given.
        view: What it has to work with there; asked before work is given, so that losses are told first.
        work: Its work, while it works.
        news: What happened there, while it is asked for.
        back_s: When it may be asked again, by the monotonic clock; 0 for one that has not worked yet, or died.
        left: Why it left.
        trouble: What stopped it.
        problems: What it could not write or read.
        is_refusal: It left because it cannot do what is asked.
        called_at: How many jobs were done when it was wanted again; -1 before.
    """

    post: Post
    actor: ActorHandle[NodeKeeper] | None = None
    question: ObjectRef[str] | None = None
    view: ObjectRef[NodeReport] | None = None
    work: ObjectRef[NodeReport] | None = None
    news: ObjectRef[list[Event]] | None = None
    back_s: float = 0.0
    left: str = ""
    trouble: str = ""
    problems: tuple[str, ...] = ()
    is_refusal: bool = False
    called_at: int = -1

    @property
    def has_ended(self) -> bool:
        """True for a post whose worker found nothing to do; more may have come since."""
        return self.work is None and self.back_s > 0 and not (self.left or self.trouble)

    @property
    def is_wanting(self) -> bool:
        """True for a post that nobody fills, though work may be left for it."""
        return self.work is None and self.back_s == 0

    @property
    def place(self) -> str:
        """Where it is filled, for people."""
        return f"a machine that offers {self.post.resource}" if self.post.resource else "a machine with room for it"

    @property
    def missing(self) -> str:
        """Why nobody fills it, for people."""
        post = self.post
        share = f" ({post.gpus:g} of a GPU)" if post.gpus else f" ({post.cpus:g} CPU)" if post.cpus else ""
        return f"{self.place}{share} did not come"

    def ask(self) -> NodeReport | None:
        """Place an actor, where there is none, and return what its node says before it gets work; None until then."""
        if self.question is None:
            # Answered as soon as a node with the resource has room: nobody else is kept waiting meanwhile.
            self.question = self._present().refusal.remote(__version__)
        elif (said := self._answer()) == "":
            self.view = self._present().look.remote()
        elif said is not None:
            self.question = self.view = None
            return NodeReport(left=said, is_refusal=True) if isinstance(said, str) else said
        return None

    def _answer(self) -> str | NodeReport | None:
        """Return what was answered to the last question, words or a report; None while it has not been."""
        import ray
        from ray.exceptions import RayActorError, RayError

        asked = self.question if self.view is None else self.view
        if asked is None or not ray.wait([asked], timeout=0)[0]:
            return None
        try:
            answer: str | NodeReport = ray.get(asked)
        except RayActorError:
            # It died before it had work; Ray starts it anew, and it is asked again.
            self.question = self.view = None
            return None
        except RayError as exc:
            return NodeReport(left=first_line(exc))
        return answer

    def begin(self) -> None:
        """Give it work."""
        self.left, self.is_refusal, self.work = "", False, self._present().run.remote()

    def hear(self, wait_s: float = 0.0) -> list[Event]:
        """Return what happened there; one that hangs keeps nobody from being heard.

        Args:
            wait_s: How long to wait for what was asked for before; 0 waits for nothing, and asks anew while it works.
        """
        import ray
        from ray.exceptions import RayError

        if self.actor is not None and self.news is None and self.work is not None and not wait_s:
            self.news = self.actor.news.remote()
        if self.news is None or not ray.wait([self.news], timeout=wait_s)[0]:
            return []
        news, self.news = self.news, None
        try:
            return ray.get(news)
        except RayError as exc:
            log.debug("no news of %s: %s", self.post.name, first_line(exc))
            return []

    def rest(self, left: str, back_s: float) -> None:
        """Leave the post until ``back_s``."""
        self.work, self.left, self.back_s = None, left, back_s

    def stop(self, how: Stop) -> None:
        """Ask who fills it to stop."""
        if self.actor is not None:
            self.actor.stop.remote(how)

    def kill(self) -> None:
        """End who fills it; Ray starts it no more."""
        import ray

        if self.actor is not None:
            ray.kill(self.actor)

    def _present(self) -> ActorHandle[NodeKeeper]:
        if self.actor is None:
            self.actor = _place(self.post)
        return self.actor


def _place(post: Post) -> ActorHandle[NodeKeeper]:
    import ray

    # Always started anew by Ray, but no call is repeated by it: whether work is left, the folder tells.
    maker = ray.remote(NodeKeeper).options(
        num_cpus=post.cpus,
        num_gpus=post.gpus,
        resources={post.resource: 1.0} if post.resource else {},
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=4,
    )
    return cast("ActorHandle[NodeKeeper]", maker.remote(post.work))
