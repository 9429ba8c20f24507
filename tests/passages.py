"""Questions and the passages that answer them, for searches whose right answer is known."""

from __future__ import annotations

PAIRS = {
    "How should tomato plants be watered in summer?": (
        "Tomato plants want a deep watering three times a week in summer, early in the morning, "
        "so that the soil stays moist but the leaves dry before the night comes."
    ),
    "How is a bicycle chain cleaned and oiled?": (
        "Clean a bicycle chain with a rag and degreaser while turning the pedals backwards, then "
        "put one drop of oil on every link and wipe the rest away."
    ),
    "When does the public library open on Sunday?": (
        "The public library opens at noon on Sunday and closes at five, and books can be returned "
        "through the slot beside the door at any hour of the week."
    ),
    "Which temperature does a sourdough loaf bake at?": (
        "A sourdough loaf bakes in a covered pot at a temperature of 240 degrees for half an hour, "
        "and another fifteen minutes without the lid for the crust."
    ),
}
