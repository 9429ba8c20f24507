"""A world for jobs to live in: a fake clock, a scripted server, and a driver that cheats nobody.

The driver asks a job for its next step only when a real one would: after an outcome, at the moment
it waits for, or when it was woken. A job that waits for nothing that can come is a lost wake-up.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import json
import math
import random
from dataclasses import dataclass, field

from openrouter_embed.core.bill import Prices
from openrouter_embed.core.call import make_call
from openrouter_embed.core.callbacks import Callbacks
from openrouter_embed.core.job import Job
from openrouter_embed.core.limits import Limits
from openrouter_embed.core.memory import ModelMemory
from openrouter_embed.core.pacing import Pacer
from openrouter_embed.core.plan import make_plan
from openrouter_embed.core.wire import Abort, Done, Reply, Send, Wait
from openrouter_embed.options.settings import make_settings

MODEL = "openai/text-embedding-3-small"
SETTINGS = make_settings({"model": MODEL, "api_key": "sk-or-v1-fake"}, {})


PLAIN = {"base64": False, "dimensions": None, "max_input_tokens": None}
OF_PROFILE = {
    "base64": "base64",
    "expected_width": "dimensions",
    "input_tokens": "max_input_tokens",
}
OF_CALL = {"on_error", "lists", "price", "deadline", "limited"}
OF_SETTINGS = {"width": "dimensions", "pin": "pin_provider"}


def call_of(settings, role, limits, told):
    """What a call is told, in the words of the tests, of a model of which nothing is known."""
    profile = {new: told.pop(old) for old, new in OF_PROFILE.items() if old in told}
    call = {name: told.pop(name) for name in OF_CALL & set(told)}
    if call.get("price") is not None:
        call["price"] = Prices(call["price"])
    if not told.pop("spread", True):
        settings = dataclasses.replace(settings, model=f"{settings.model}:free")
    own = {OF_SETTINGS.get(name, name): value for name, value in told.items()}
    made = make_call(dataclasses.replace(settings, **own), role, None)
    profile = dataclasses.replace(made.profile, **{**PLAIN, **profile})
    return dataclasses.replace(made, profile=profile, limits=limits, **call)


def inputs_of(request):
    return json.loads(request.body)["input"]


def vector_of(text):
    """The vector a right server gives to a text like `t17`, whatever stands around the number."""
    number = int("".join(filter(str.isdigit, text)) or 0)
    return [float(number), 1.0]


def answer(request, **changes):
    data = [
        {"index": at, "embedding": vector_of(text)} for at, text in enumerate(inputs_of(request))
    ]
    usage = {"prompt_tokens": len(data), "total_tokens": len(data), "cost": 0.5}
    body = {"data": data, "model": "upstream", "usage": usage, **changes}
    return Reply(200, {}, json.dumps(body).encode())


def refusal(status, message="no", *, headers=None, **error):
    body = json.dumps({"error": {"message": message, **error}}).encode()
    return Reply(status, headers or {}, body)


@dataclass
class Sent:
    at: float
    job: int
    request: object
    in_flight: int
    outcome: object = None


@dataclass
class World:
    """`server(sent, world)` returns `(seconds, outcome)`; seconds of infinity never answer."""

    server: object
    seed: int = 0
    max_concurrency: int = 64
    pacer: Pacer = None
    now: float = 1000.0
    sent: list = field(default_factory=list)
    waits: list = field(default_factory=list)
    usage: list = field(default_factory=list)
    progress: list = field(default_factory=list)
    closed: bool = False

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.pacer = self.pacer or Pacer(self.max_concurrency)
        self.formats = ModelMemory()
        self.jobs = []
        self.sleeping = {}  # job number -> until
        self.runnable = {}
        self.events = []
        self.order = itertools.count()
        self.flights = {}
        self.serving = 0
        self.steps = 0
        self.highest = 0

    # -------------------------------------------------------------- making jobs

    def job(
        self,
        texts,
        *,
        per_request=1,
        tokens=10**9,
        most=0,
        settings=SETTINGS,
        ledger=None,
        role=None,
        urgent=False,
        busy=lambda: 0.0,
        **terms,
    ):
        call = call_of(settings, role, Limits(per_request, tokens, most=most), terms)
        items = [f"t{at}" for at in range(texts)] if isinstance(texts, int) else texts
        plan = make_plan(items, call.bodies.prefix, zeros_for_empty=True)
        number = len(self.jobs)
        callbacks = Callbacks(
            chance=self.random.random,
            wake=lambda: self.wake(number),
            closed=lambda: self.closed,
            urgent=urgent,
            busy=busy,
            on_usage=self.usage.append,
            on_progress=self.progress.append,
        )
        job = Job(
            plan,
            call,
            pacer=self.pacer,
            memory=self.formats,
            callbacks=callbacks,
            ledger=ledger,
        )
        self.jobs.append(job)
        self.runnable[number] = None
        return job

    def wake(self, number):
        self.runnable[number] = None

    # -------------------------------------------------------------- running them

    def run(self, until=math.inf):
        """Run until every job is done; fail if one can never be."""
        while True:
            while self.runnable:
                number = next(iter(self.runnable))
                del self.runnable[number]
                self._step(number)
            self._check_line()
            moments = [moment for moment in self.sleeping.values() if moment is not None]
            if self.events:
                moments.append(self.events[0][0])
            if not moments:
                assert not self.sleeping, f"nobody will ever wake jobs {list(self.sleeping)}"
                return self
            if min(moments) > until:
                self.now = until
                return self
            self.now = max(self.now, min(moments))
            self._pass_events()

    def _check_line(self):
        pacer = self.pacer
        begin = max(pacer.cool_until, pacer.next_at)
        room = pacer.in_flight < pacer.limit.limit and self.now >= begin
        assert not (room and pacer._line), "somebody waits though there is room"
        assert pacer.in_flight == len(self.flights) == sum(pacer._held.values())
        assert 0 <= pacer.budget.tokens <= pacer.budget.capacity

    def _pass_events(self):
        for number, moment in list(self.sleeping.items()):
            if moment is not None and moment <= self.now:
                self.runnable[number] = None
        while self.events and self.events[0][0] <= self.now:
            _, _, event = heapq.heappop(self.events)
            event()

    def after(self, seconds, event):
        heapq.heappush(self.events, (self.now + seconds, next(self.order), event))

    def _step(self, number):
        job = self.jobs[number]
        self.sleeping.pop(number, None)
        while True:
            self.steps += 1
            assert self.steps < 2_000_000, "a job spins"
            step = job.next(self.now)
            if isinstance(step, Send):
                self._send(number, step.request)
            elif isinstance(step, Abort):
                self._drop(number, step.id)
            elif isinstance(step, Wait):
                assert step.until is None or step.until > self.now, "a wait that is over"
                self.waits.append((self.now, step.until))
                self.sleeping[number] = step.until
                return
            else:
                assert isinstance(step, Done)
                return

    def _send(self, number, request):
        assert (number, request.id) not in self.flights, "an id was used twice"
        sent = Sent(self.now, number, request, self.serving + 1)
        self.sent.append(sent)
        self.serving += 1
        self.flights[number, request.id] = sent
        self.highest = max(self.highest, len(self.flights))
        seconds, sent.outcome = self.server(sent, self)
        if seconds < math.inf:
            self.after(seconds, lambda: self._arrive(number, request.id, sent))

    def refuse_at_once(self):
        """Say that the request just sent does not count as in flight at the server."""
        self.serving -= 1

    def _arrive(self, number, request_id, sent):
        self.serving -= sent.in_flight > 0
        if self.flights.pop((number, request_id), None) is not None:
            self.jobs[number].feed(request_id, sent.outcome, self.now)
            self.runnable[number] = None

    def _drop(self, number, request_id):
        assert self.flights.pop((number, request_id), None) is not None, "aborted twice"


def steady(seconds=0.15):
    """A server without limits or faults."""
    return lambda sent, world: (seconds, answer(sent.request))


def admits(places, seconds=0.15, *, quick=0.005):
    """A server that serves so many at a time and refuses the rest at once."""

    def serve(sent, world):
        if sent.in_flight > places:
            sent.in_flight = 0
            world.refuse_at_once()
            return quick, refusal(429)
        return seconds * world.random.uniform(0.8, 1.2), answer(sent.request)

    return serve


def failing(share, seconds=0.15, *, quick=0.02, status=503):
    """A server that fails now and then."""

    def serve(sent, world):
        if world.random.random() < share:
            return quick, refusal(status)
        return seconds * world.random.uniform(0.8, 1.2), answer(sent.request)

    return serve


def down(begin, end, seconds=0.15, *, quick=0.02, status=503):
    """A server that fails throughout a time."""

    def serve(sent, world):
        if begin <= world.now < end:
            return quick, refusal(status)
        return seconds * world.random.uniform(0.8, 1.2), answer(sent.request)

    return serve
