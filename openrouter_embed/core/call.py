"""What one call was told, and what follows from it before anything is sent.

Rules of this file:
- A call is made of settings and a model's profile alone, so calls that are told the same share one;
  only the moment at which one begins, and its price, make another of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from openrouter_embed.core.plan import BodyMaker, Limits, Plan, make_limits, make_plan
from openrouter_embed.core.problem import MAX_ERROR_BYTES
from openrouter_embed.core.wire import Request
from openrouter_embed.inputs import read_inputs
from openrouter_embed.options.space import space_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.inputs import Inputs, Item, Refused
    from openrouter_embed.options.models import ModelProfile, Role
    from openrouter_embed.options.settings import Settings

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
    price: float | None = None
    deadline: float | None = None
    limited: bool = False

    def begin(self, now: float, price: float | None = None) -> Call:
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
        return make_plan(
            read_inputs(inputs, refused),
            self.bodies.prefix,
            zeros_for_empty=self.settings.empty == "zeros",
            refused=refused,
        )

    def encoding(self, *, floats: bool) -> str:
        """Return the format to ask for; `floats` says that base64 has failed before."""
        asked = self.settings.encoding_format
        if asked != "auto":
            return asked
        return "base64" if self.profile.base64 and not floats else "float"

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
            tokens: Their estimated tokens.
            width: Components of the vectors to come, as far as is known.
        """
        known = None if width is None else len(units) * (1024 + BYTES_PER_COMPONENT * width)
        return Request(
            id=number,
            method="POST",
            path=PATH,
            body=self.bodies.make(units, encoding, host),
            headers=((ATTEMPT_HEADER, str(attempt)),),
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
