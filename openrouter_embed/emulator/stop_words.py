"""The English words that say little about a text's subject: one set, nothing else."""

from __future__ import annotations

_WORDS = """
a about above after again against all also am an and any are as at be because been before
being below between both but by can cannot could did do does doing don down during each either
else ever every few for from further get gets got had has have having he her here hers him his
how however i if in into is it its itself just let like make makes many may me might more most
much must my never no nor not now of off often on once one only or other our ours out over own
per same shall she should so some such than that the their them then there these they this
those through to too under until up upon us use used uses using very via was we were what when
where whether which while who whom whose why will with within without would yet you your
s t re ve ll d m
"""

STOP_WORDS = frozenset(_WORDS.split())
