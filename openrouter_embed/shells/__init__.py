"""The two shells: they touch the network and decide nothing.

Law of this room: a shell never looks at a status code or a JSON key. It turns a `Request` into a
`Reply` or a `Fault`, and drives a `Job` by doing what it says.

`requests_shell` stands on `attempt` (a send that another thread can end) and `workers` (the threads
that send); `aiohttp_shell` needs neither. `route` is the way to the server, and `shared` what both
see alike.
"""
