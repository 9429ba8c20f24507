"""The pure core: it decides everything and touches nothing.

Law of this room: no sockets, threads, clocks, randomness or event loops. Time, chance, locks and
callbacks come in as arguments; requests and replies are plain data (`wire.py`).
"""
