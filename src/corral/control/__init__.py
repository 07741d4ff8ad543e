"""How commands start a launcher and speak with one: its command line, and a client of its requests.

Trust: operator side. It runs in commands, never in the launcher, which does not import it.
"""
