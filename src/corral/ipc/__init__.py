"""The wire between a client (gateway, CLI) and the launcher: bounded frames, typed messages.

Trust: both ends; standard library only. Neither end believes the other.
"""
