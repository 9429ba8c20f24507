"""What one call was told, and what follows from it before anything is sent.

Rules of this file:
- A call is made of settings and a model's profile alone, so calls that are told the same share one;
  only the moment at which one begins, and its price, make another of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from openrouter_embed.core.bill import Counting
from openrouter_embed.core.bodies import BodyMaker
from openrouter_embed.core.limits import Limits, make_limits
from openrouter_embed.core.plan import Plan, check_media, make_plan
from openrouter_embed.core.problem import MAX_ERROR_BYTES
from openrouter_embed.core.wire import Request
from openrouter_embed.inputs import read_inputs
from openrouter_embed.options.space import space_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.core.bill import Prices
    from openrouter_embed.core.collect import Collector
    from openrouter_embed.core.memory import ModelMemory
    from openrouter_embed.inputs import Inputs, Item, Refused
    from openrouter_embed.options.models import ModelProfile, Role
    from openrouter_embed.options.settings import Settings
    from openrouter_embed.result import Usage

PATH: Final = "/embeddings"
ATTEMPT_HEADER: Final = "X-OpenRouter-Embed-Attempt"
MAX_REPLY: Final = 64 * 1024 * 1024
"""Bytes a reply may have while the width of its vectors is not known."""
BYTES_PER_COMPONENT: Final = 32
"""No way to write a float in JSON is longer, its comma included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one call was told.

    Attributes:
        settings: The client's options, with those of the call.
        profile: The model's.
        bodies: What writes request bodies; knows the role and the input type.
        limits: How much one request may hold.
        space: The name of the space that its vectors live in.
        on_error: `raise` or `return`.
        lists: Whether Python lists are made as vectors arrive.
        price: USD per token, for the spending limit; `None` where there is none.
        deadline: The moment (monotonic seconds) by which it must end, if there is one.
        limited: Whether the limiter is asked first; an attempt's time then begins with `started`.
    """

    settings: Settings
    profile: ModelProfile
    bodies: BodyMaker
    limits: Limits
    space: str = ""
    on_error: str = "raise"
    lists: bool = False
    price: Prices | None = None
    deadline: float | None = None
    limited: bool = False

    def begin(self, now: float, price: Prices | None = None) -> Call:
        """Return the call as it begins at `now` (monotonic seconds)."""
        settings = self.settings
        if settings.deadline is None and settings.limiter is None and price is None:
            return self
        deadline = None if settings.deadline is None else now + settings.deadline
        return replace(self, price=price, deadline=deadline, limited=settings.limited)

    @property
    def spread(self) -> bool:
        """Whether inputs may be spread over several requests for the sake of speed.

        Free models allow some twenty requests a minute: there fewer is faster.
        """
        return not self.settings.model.endswith(":free")

    def plan(self, inputs: Inputs) -> Plan:
        """Return what is to be sent.

        Raises:
            ConfigurationError: An input is wrong, and is not to be listed among the failures.
        """
        refused: Refused | None = {} if self.on_error == "return" else None
        plan = make_plan(
            read_inputs(inputs, refused),
            self.bodies.prefix,
            zeros_for_empty=self.settings.empty == "zeros",
            refused=refused,
            counting=Counting(self.profile.special_tokens, self.profile.media_tokens),
        )
        if plan.media:
            check_media(plan, self.profile, self.settings.model)
        return plan

    def spent(self, usage: Usage, held: float) -> float | None:
        """Return what an answer cost, in USD; `None` where nobody can tell, or asks.

        Args:
            usage: What it says.
            held: What it was expected to cost: media may cost more than texts do.
        """
        price = self.price
        if price is None:
            return None
        if usage.billed is not None or not usage.total_tokens:
            return usage.billed
        return max(held, usage.total_tokens * price.text)

    def scales(self, memory: ModelMemory, rows: Collector) -> bool:
        """Whether vectors are to be scaled to unit length: `auto` goes by the first that came."""
        wish = self.settings.normalize
        if isinstance(wish, bool):
            return wish
        return self.profile.normalized is False or not memory.is_unit(self.space, rows.unit)

    def encoding(self, memory: ModelMemory) -> str:
        """Return the format to ask for, by what is known of the model and what it has sent."""
        asked, model = self.settings.encoding_format, self.settings.model
        if asked != "auto":
            return "float" if memory.distrusts(model) else asked
        return "base64" if self.profile.base64 and not memory.prefers_floats(model) else "float"

    def request(
        self,
        number: int,
        units: Sequence[str | Item],
        *,
        encoding: str,
        host: str | None,
        attempt: int,
        tokens: int,
        width: int | None,
    ) -> Request:
        """Return the request for these units.

        Args:
            number: The request's own.
            units: What it carries.
            encoding: The format to ask for.
            host: The only host that may serve, if there is one.
            attempt: How often these units are now sent.
            tokens: Their estimated tokens, if a limiter or a limit of cost is to know.
            width: Components of the vectors to come, as far as is known.
        """
        known = None if width is None else len(units) * (1024 + BYTES_PER_COMPONENT * width)
        return Request(
            id=number,
            method="POST",
            path=PATH,
            body=self.bodies.make(units, encoding, host),
            headers=((ATTEMPT_HEADER, str(attempt)), *self.bodies.headers),
            tokens=tokens,
            max_reply=MAX_REPLY if known is None else MAX_ERROR_BYTES + known,
            timeout=self.settings.timeout,
            limited=self.limited,
        )


def make_call(
    settings: Settings,
    role: Role | None,
    input_type: str | None,
    *,
    on_error: str = "raise",
    lists: bool = False,
) -> Call:
    """Work out what a call's settings ask for."""
    return Call(
        settings=settings,
        profile=settings.profile,
        bodies=BodyMaker(settings, role, input_type),
        limits=make_limits(settings),
        space=space_name(settings, role, input_type),
        on_error=on_error,
        lists=lists,
    )
