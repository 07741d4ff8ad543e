"""Pure values that every zone shares: identifiers, errors, limits, configuration, the state folder.

Trust: imported by every zone, including the privileged launcher; standard library only.
"""
