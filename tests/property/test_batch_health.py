"""Laws of a server's health, over any course of jobs, faults, looks and time."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sdclient.batch.health import Health, HealthPolicy

POLICY = HealthPolicy(faults=3, first_open_s=5, longest_open_s=300)


class HealthMachine(RuleBasedStateMachine):
    """Plays the lane: takes jobs when it may, ends them in any way and order, lets time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.health = Health(POLICY, random.Random(7))
        self.now_s = 0.0
        self.out: list[int] = []
        self.in_a_row = 0

    @rule()
    def feed(self) -> None:
        gate = self.health.gate(self.now_s)
        if gate == "look":
            assert self.health.gate_of(self.health.ticket) == "look"
            return
        if gate == "feed":
            assert self.health.state != "open"
            self.out.append(self.health.begin())

    @rule(is_well=st.booleans())
    def look(self, *, is_well: bool) -> None:
        if self.health.gate(self.now_s) != "look":
            return
        if is_well:
            self.health.looked()
            assert self.health.gate(self.now_s) in ("feed", "wait")
        else:
            self.fail(self.health.ticket, is_lost=True)

    @rule(data=st.data(), ending=st.sampled_from(["good", "bad", "lost", "stall", "unsent", "busy"]))
    def end(self, data: st.DataObject, ending: str) -> None:
        if not self.out:
            return
        ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        is_current = ticket == self.health.ticket
        if ending == "good":
            self.health.good(ticket)
            self.in_a_row = 0 if is_current else self.in_a_row
        elif ending == "unsent":
            self.health.unknown(ticket)
        elif ending == "busy":
            asked_s = data.draw(st.none() | st.floats(0, 1000))
            self.health.rest(ticket, self.now_s, asked_s)
            assert not is_current or self.health.state == "open"
        else:
            self.fail(ticket, is_lost=ending == "lost", at_once=ending == "stall")

    def fail(self, ticket: int, *, is_lost: bool, at_once: bool = False) -> None:
        was, is_current = self.health.state, ticket == self.health.ticket
        is_open = self.health.bad(ticket, self.now_s, at_once=at_once, is_lost=is_lost)
        if not is_current:
            assert not is_open
            assert self.health.state == was
            return
        self.in_a_row += 1
        assert is_open == (was != "closed" or at_once or self.in_a_row >= POLICY.faults)
        if is_open:
            assert 0 <= self.health.open_until_s - self.now_s <= POLICY.longest_open_s

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @invariant()
    def one_job_at_most_is_risked_on_a_server_that_was_away(self) -> None:
        assert self.health.state != "half_open" or self.out.count(self.health.ticket) <= 1

    @invariant()
    def nothing_is_fed_while_it_is_left_alone(self) -> None:
        if self.health.state == "open" and self.now_s < self.health.open_until_s:
            assert self.health.gate(self.now_s) == "wait"
            assert all(self.health.gate_of(ticket) == "wait" for ticket in self.out)


HealthMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestHealth = HealthMachine.TestCase
