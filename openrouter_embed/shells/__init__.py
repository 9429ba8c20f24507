"""The two shells: they touch the network and decide nothing.

Law of this room: a shell never looks at a status code or a JSON key. It turns a `Request` into a
`Reply` or a `Fault`, and drives a `Job` by doing what it says.
"""
