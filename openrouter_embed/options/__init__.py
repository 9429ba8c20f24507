"""What a client can be told: settings and their checks, models and roles, preferences, names.

Law of this room: every option is described once, checked before anything is sent, and then frozen.
"""
