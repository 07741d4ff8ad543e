"""Ways to run an engine inside a jail.

Trust: jail.
"""
