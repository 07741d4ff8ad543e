"""Broken bytes for every parser: `make fuzz`, or `python fuzz/run.py --only TARGET`."""
