"""What all calls with the same settings have in common, worked out once.

Rules of this file:
- A kit is made of settings and a profile alone; it holds nothing that a call changes.
- Nothing of what makes one call different is kept, so a kit does not grow with their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openrouter_embed.core.job import Terms, make_terms
from openrouter_embed.core.plan import BodyMaker, Plan, make_limits, make_plan
from openrouter_embed.inputs import read_inputs
from openrouter_embed.options.checks import AUTO

if TYPE_CHECKING:
    from openrouter_embed.inputs import Inputs
    from openrouter_embed.options.models import Role
    from openrouter_embed.options.settings import Settings


class Kit:
    """Limits, terms and body makers for one set of settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = make_limits(settings)
        self._profile = settings.profile
        self._bodies: dict[Role | None, BodyMaker] = {}
        self._terms: dict[tuple[str, bool, bool], Terms] = {}

    def fits(self, settings: Settings) -> bool:
        """Whether it is still right: somebody may have registered a profile since."""
        return settings is self.settings and settings.profile is self._profile

    def bodies(self, role: Role | None, input_type: str | None) -> BodyMaker:
        """Return what writes the bodies of a call."""
        if input_type != AUTO:
            return BodyMaker(self.settings, role, input_type)
        if role not in self._bodies:
            self._bodies[role] = BodyMaker(self.settings, role, input_type)
        return self._bodies[role]

    def plan(self, inputs: Inputs, bodies: BodyMaker) -> Plan:
        """Return what a call has to send.

        Raises:
            ConfigurationError: An input is wrong.
        """
        zeros = self.settings.empty == "zeros"
        return make_plan(read_inputs(inputs), bodies.prefix, zeros_for_empty=zeros)

    def terms(self, on_error: str, now: float, *, price: float | None, lists: bool) -> Terms:
        """Return the terms of a call that begins at `now` (monotonic seconds)."""
        if price is not None or self.settings.deadline is not None:
            return make_terms(self.settings, on_error, now, price=price, lists=lists)
        key = on_error, lists, self.settings.limited
        if key not in self._terms:
            self._terms[key] = make_terms(self.settings, on_error, now, price=None, lists=lists)
        return self._terms[key]
