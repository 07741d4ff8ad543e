"""The attacks: a standard-library program that runs in a zone's place, and outside as the control.

Trust: hostile by intent, harmless by construction: bounded, and aimed only at what the selftest
itself made. Input: one JSON line of the selftest on stdin.
"""
