"""What the tests of jobs share: servers that follow a script, and ways to run one job."""

from __future__ import annotations

import math

import pytest
from core_world import (
    World,
    answer,
    inputs_of,
    refusal,
)

from openrouter_embed.core.call import ATTEMPT_HEADER
from openrouter_embed.core.wire import Fault, FaultKind

RESET = Fault(FaultKind.RESET, "The connection was lost.")
STALE = Fault(FaultKind.RESET, "The connection was lost.", stale=True)
NEVER = math.inf
LONG = "t1 " + "word and word. " * 40


def scripted(*outcomes, then="ok", latency=0.1):
    """A server that gives these outcomes in the order of the requests, and then `then`."""

    def serve(sent, world):
        at = len(world.sent) - 1
        step = outcomes[at] if at < len(outcomes) else then
        wait, step = step if isinstance(step, tuple) else (latency, step)
        if step == "ok":
            step = answer(sent.request)
        elif isinstance(step, int):
            step = refusal(step)
        elif callable(step):
            step = step(sent.request)
        return wait, step

    return serve


def run(server, texts=3, **kwargs):
    world = World(server, max_concurrency=kwargs.pop("max_concurrency", 64))
    job = world.job(texts, **kwargs)
    world.run()
    return world, job


def fails(kind, server, texts=3, **kwargs):
    world, job = run(server, texts, **kwargs)
    with pytest.raises(kind) as caught:
        job.result()
    return world, caught.value


def numbers(result):
    return result.vectors[:, 0].tolist()


def attempts(world):
    return [int(dict(one.request.headers)[ATTEMPT_HEADER]) for one in world.sent]


def refuses(*bad, status=400, message="could not read this input", **error):
    """A server that refuses every request holding one of these inputs."""
    poison = {f"t{at}" for at in bad}

    def serve(sent, world):
        hit = poison & set(inputs_of(sent.request))
        return 0.1, refusal(status, message, **error) if hit else answer(sent.request)

    return serve


def told(seconds, status=429):
    return refusal(status, headers={"retry-after": str(seconds)})


def too_long(limit):
    def serve(sent, world):
        longest = max(map(len, inputs_of(sent.request)))
        if longest > limit:
            return 0.1, refusal(400, "maximum context length exceeded")
        return 0.1, answer(sent.request)

    return serve


def costs(usd):
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    if usd is not None:
        usage["cost"] = usd
    return lambda sent, world: (0.1, answer(sent.request, usage=usage))
