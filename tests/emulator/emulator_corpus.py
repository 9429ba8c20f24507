"""A small corpus for retrieval tests: each question's answer is the passage of the same rank.

Neighbouring passages share a subject, so that finding the right one takes more than its topic.
"""

PAIRS = (
    (
        "How often should tomato plants be watered in summer?",
        (
            "Tomato plants want a deep watering two or three times a week in summer, early in"
            " the morning, so that the soil stays moist but the leaves dry before the night "
            "comes."
        ),
    ),
    (
        "When should tomatoes be picked from the vine?",
        (
            "Pick tomatoes from the vine once they show full colour and feel slightly soft; "
            "those taken earlier will ripen on a kitchen shelf but never reach the same "
            "sweetness."
        ),
    ),
    (
        "What kills aphids on garden plants?",
        (
            "Aphids on garden plants are killed by a spray of soapy water or by ladybirds, "
            "whose larvae eat hundreds of them, so strong poison is seldom needed in a small "
            "garden."
        ),
    ),
    (
        "How do I start a compost heap?",
        (
            "A compost heap starts with a layer of twigs for air, followed by kitchen scraps "
            "and dry leaves in equal parts, and it should be turned with a fork every few "
            "weeks."
        ),
    ),
    (
        "How can I change a flat bicycle tyre?",
        (
            "To change a flat bicycle tyre, take the wheel off, lever one side of the tyre "
            "over the rim, pull out the tube, check for glass and fit a fresh tube with "
            "little air in it."
        ),
    ),
    (
        "How is a bicycle chain cleaned and oiled?",
        (
            "Clean a bicycle chain with a rag and degreaser while turning the pedals "
            "backwards, let it dry, then put one drop of oil on every link and wipe the rest "
            "away."
        ),
    ),
    (
        "Which helmet size fits my head?",
        (
            "A helmet fits when it sits level, two fingers above the eyebrows, and does not "
            "move as the head shakes; measure the head with a tape and compare the size chart"
            " before buying."
        ),
    ),
    (
        "Why do bicycle brakes squeal?",
        (
            "Bicycle brakes squeal when the pads are glazed or touch the rim at a wrong "
            "angle, and sanding the pads lightly or toeing them in a little usually makes the"
            " noise go away."
        ),
    ),
    (
        "What temperature is needed to bake sourdough bread?",
        (
            "Sourdough bread is baked in a very hot oven, about two hundred and fifty degrees"
            " at first, under a lid, and the temperature is lowered once the crust begins to "
            "brown."
        ),
    ),
    (
        "How long does bread dough have to rise?",
        (
            "Bread dough has to rise until it doubles, which takes an hour or two in a warm "
            "room and a whole night in the refrigerator, where the taste of the loaf improves"
            " as well."
        ),
    ),
    (
        "How is yeast kept fresh?",
        (
            "Fresh yeast keeps for about two weeks in the refrigerator when wrapped in paper,"
            " while dry yeast in a closed jar stays alive for many months in any dark and "
            "cool cupboard."
        ),
    ),
    (
        "What makes a cake collapse in the middle?",
        (
            "A cake collapses in the middle if the oven door is opened too early, if the "
            "batter holds too much baking powder, or if it leaves the heat before the crumb "
            "has set."
        ),
    ),
    (
        "How do planets stay in orbit around the sun?",
        (
            "Planets stay in orbit because the pull of the sun bends their straight flight "
            "into an ellipse; they fall towards the star all the time and keep missing it by "
            "moving sideways."
        ),
    ),
    (
        "Why does the moon show phases?",
        (
            "The moon shows phases since we see a changing part of its sunlit half as it "
            "travels around the earth, from the dark new moon to the bright full one and "
            "back."
        ),
    ),
    (
        "What causes a solar eclipse?",
        (
            "A solar eclipse happens when the moon passes exactly between the earth and the "
            "sun and its shadow sweeps over a narrow strip of land, where day turns into "
            "twilight."
        ),
    ),
    (
        "How do telescopes collect light?",
        (
            "Telescopes collect light with a large mirror or lens that gathers far more of it"
            " than an eye can and brings it to a focus, so that faint stars become visible."
        ),
    ),
    (
        "How can I renew a library card?",
        (
            "A library card is renewed at the front desk or on the web page of the library "
            "with the number printed on its back, and the renewal is free for pupils and "
            "students."
        ),
    ),
    (
        "What happens if a borrowed book is returned late?",
        (
            "If a borrowed book comes back late, the library charges a small fine for every "
            "day, and nothing more can be borrowed until the fine has been paid in full."
        ),
    ),
    (
        "How many books may I borrow at once?",
        (
            "Readers may borrow up to twelve books at once for four weeks, children up to "
            "twenty, and films or music count as books but have to come back after seven "
            "days."
        ),
    ),
    (
        "Where can I study quietly in the library?",
        (
            "Quiet study places are found on the third floor of the library, behind the "
            "newspaper room, where telephones are forbidden and desks with lamps can be "
            "reserved for a day."
        ),
    ),
)
QUESTIONS = [question for question, _ in PAIRS]
PASSAGES = [passage for _, passage in PAIRS]
