"""A world in virtual time: clients that pace themselves, a network, a server that limits.

Rules of this file:
- The clients are the real ones: `Job` and `Pacer`, driven by `next` and `feed` as the shells do.
- Nothing waits: an event's time is a number, so a minute of a thousand workers takes seconds.
- The same seed gives the same run.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections import Counter
from dataclasses import dataclass, field

from openrouter_embed.core.wire import Abort, Reply, Send, Wait
from openrouter_embed.engine import make_engine
from openrouter_embed.errors import EmbeddingError

KEY = "sk-or-v1-fake"
MODEL = "nobody/knows-this-model"
VECTOR = [1.0, 0.0]
MINUTE = 60.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server admits, and how it says no.

    Attributes:
        places: Requests it serves at once.
        rate: Requests per second; `depth` seconds of them may come at once.
        tokens: Tokens per minute; a whole minute's may come at once.
        depth: See `rate`.
        retry_after: Seconds that a refusal asks to wait; `None` if it does not say.
        down: From when to when it answers 503, in seconds.
        failing: Share of requests that get a 503 at random.
    """

    places: float = float("inf")
    rate: float = float("inf")
    tokens: float = float("inf")
    depth: float = 1.0
    retry_after: float | None = None
    down: tuple[float, float] = (0.0, 0.0)
    failing: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Road:
    """How long things take, in seconds.

    Attributes:
        service: What the server needs for a request, give or take `wobble`.
        wobble: Share of `service`.
        network: There and back on average; each way takes between nothing and twice its half.
    """

    service: float = 0.5
    wobble: float = 0.2
    network: float = 0.04


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as the server saw it."""

    at: float
    worker: int
    status: int
    end: float
    tokens: int


class Bucket:
    """Tokens that flow in at a rate, up to a depth."""

    def __init__(self, rate: float, depth: float) -> None:
        self.rate, self.depth, self.level, self.at = rate, depth, depth, 0.0

    def take(self, now: float, count: float) -> bool:
        """Take some at once, if they are there."""
        if self.rate == float("inf"):
            return True
        self.level = min(self.depth, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < count:
            return False
        self.level -= count
        return True


class Server:
    """Admits and refuses in the order in which requests reach it."""

    def __init__(self, limits: Limits, road: Road, dice: random.Random) -> None:
        self.limits, self.road, self.dice = limits, road, dice
        self.seen: list[Seen] = []
        self._ends: list[float] = []
        self._rate = Bucket(limits.rate, limits.rate * limits.depth)
        self._tokens = Bucket(limits.tokens / MINUTE, limits.tokens)

    def meet(self, now: float, worker: int, tokens: int) -> tuple[float, int]:
        """Take in a request; return when the answer leaves, and its status."""
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        status = self._judge(now, tokens)
        end = now
        if status == 200:
            end += self.road.service * self.dice.uniform(1 - self.road.wobble, 1 + self.road.wobble)
            heapq.heappush(self._ends, end)
        self.seen.append(Seen(now, worker, status, end, tokens))
        return end, status

    def _judge(self, now: float, tokens: int) -> int:
        down, up = self.limits.down
        if down <= now < up or self.dice.random() < self.limits.failing:
            return 503
        if len(self._ends) >= self.limits.places:
            return 429
        # Both buckets are asked, or the first would pay for what the second refuses.
        fits = self._rate.take(now, 1) and self._tokens.take(now, tokens)
        return 200 if fits else 429


class Worker:
    """Somebody who makes one call after the other with a client."""

    def __init__(self, world: World, number: int, engine: object, texts: int, begin: float) -> None:
        self.world, self.number, self.engine = world, number, engine
        self.inputs = [f"w{number} t{at} and a few words more" for at in range(texts)]
        self.job = None
        self.sleeping = None
        world.at(begin, self.run)

    def wake(self) -> None:
        """Ask the job again, as soon as whatever runs now has ended."""
        if self.sleeping != "awake":
            self.sleeping = "awake"
            self.world.at(self.world.now, self.run)

    def run(self, nap: object = None) -> None:
        """Do what the job says until it waits."""
        if nap is not None and nap is not self.sleeping:
            return  # a nap that something else has ended
        self.sleeping = "awake"
        while True:
            self.job = self.job or self._new_job()
            step = self.job.next(self.world.now)
            if isinstance(step, Send):
                self.world.send(self, step.request)
            elif isinstance(step, Wait):
                self._sleep(step.until)
                return
            elif not isinstance(step, Abort):
                self._end()

    def _sleep(self, until: float | None) -> None:
        nap = self.sleeping = object()
        if until is not None:
            self.world.at(until, lambda: self.run(nap))

    def _new_job(self) -> object:
        return self.engine.job(
            self.inputs, self.engine.settings, role=None, input_type=None, on_error="raise",
            lists=False, wake=self.wake, on_progress=None,
        )  # fmt: skip

    def _end(self) -> None:
        job, self.job = self.job, None
        job.close()
        try:
            job.result()
        except EmbeddingError as error:
            self.world.died.append((self.world.now, self.number, error))
        else:
            self.world.ended.append((self.world.now, self.number))

    def feed(self, job: object, request_id: int, reply: Reply) -> None:
        """Bring an answer home."""
        job.feed(request_id, reply, self.world.now)
        if job is self.job:
            self.run()


@dataclass
class World:
    """Everything, and what time it is."""

    limits: Limits
    road: Road
    seed: int = 0
    now: float = 0.0
    died: list = field(default_factory=list)
    ended: list = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        random.seed(self.seed)  # the clients roll the process's dice
        self.server = Server(self.limits, self.road, self.dice)
        self.workers: list[Worker] = []
        self._events: list[tuple[float, int, object]] = []
        self._order = itertools.count()

    @property
    def counts_tokens(self) -> bool:
        """Whether the server's limit is one of tokens."""
        return self.limits.tokens < float("inf")

    def add(
        self,
        workers: int,
        *,
        shared: bool = False,
        texts: int = 2000,
        begin: float = 0.0,
        **options,
    ) -> None:
        """Add workers, each with a client of its own or all with one."""
        settings = {"model": MODEL, "api_key": KEY, "max_batch_inputs": 1, **options}
        one = make_engine(settings) if shared else None
        for _ in range(workers):
            # Nobody starts to the microsecond with others.
            start = begin + self.dice.uniform(0.0, 0.1)
            engine = one or make_engine(settings)
            self.workers.append(Worker(self, len(self.workers), engine, texts, start))

    def at(self, moment: float, event: object) -> None:
        """Let something happen at a moment."""
        heapq.heappush(self._events, (moment, next(self._order), event))

    def run(self, until: float) -> World:
        """Let time pass."""
        events = self._events
        while events and events[0][0] <= until:
            moment, _, event = heapq.heappop(events)
            self.now = max(self.now, moment)
            event()
        self.now = until
        return self

    def _way(self) -> float:
        return self.road.network * self.dice.random()

    def send(self, worker: Worker, request: object) -> None:
        """Carry a request to the server and its answer back."""
        job = worker.job

        def arrive() -> None:
            leaves, status = self.server.meet(self.now, worker.number, request.tokens)
            reply = self._reply(status)
            self.at(leaves + self._way(), lambda: worker.feed(job, request.id, reply))

        self.at(self.now + self._way(), arrive)

    def _reply(self, status: int) -> Reply:
        if status == 200:
            return ANSWER
        wait = self.limits.retry_after
        headers = {"retry-after": f"{wait:g}"} if wait is not None and status == 429 else {}
        return Reply(status, headers, REFUSAL)


ANSWER = Reply(
    200, {}, json.dumps({"data": [{"index": 0, "embedding": VECTOR}], "model": "m"}).encode()
)
REFUSAL = b'{"error": {"message": "slow down"}}'


@dataclass(frozen=True)
class Score:
    """What a stretch of a run was like.

    Attributes:
        used: Share of what the server admits that was used.
        refused: Share of the requests that were refused.
        jain: Jain's index of the workers' shares: 1 if all got the same.
        starved: Workers that got nothing.
        died: Calls that ended with an error, at any time.
        served: Requests served per second.
    """

    used: float
    refused: float
    jain: float
    starved: int
    died: int
    served: float


def score(world: World, begin: float, end: float) -> Score:
    """Judge a stretch of a run, as the server saw it."""
    met = [one for one in world.server.seen if begin <= one.at < end]
    shares: Counter[int] = Counter()
    for one in met:
        # Requests differ in size, so that what counts of them is what the limit counts.
        shares[one.worker] += (one.status == 200) * (one.tokens if world.counts_tokens else 1)
    served = [shares[worker.number] for worker in world.workers]
    return Score(
        used=_used(world, begin, end, sum(served)),
        refused=sum(one.status == 429 for one in met) / max(1, len(met)),
        jain=sum(served) ** 2 / max(1, len(served) * sum(x * x for x in served)),
        starved=served.count(0),
        died=len(world.died),
        served=sum(one.status == 200 for one in met) / (end - begin),
    )


def _used(world: World, begin: float, end: float, served: int) -> float:
    limits = world.server.limits
    if limits.places < float("inf"):
        busy = sum(
            min(one.end, end) - max(one.at, begin)
            for one in world.server.seen
            if one.status == 200 and one.end > begin and one.at < end
        )
        return busy / limits.places / (end - begin)
    rate = limits.tokens / MINUTE if world.counts_tokens else limits.rate
    return served / (end - begin) / rate
