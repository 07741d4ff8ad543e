"""Chat templates are programs: read them as such, and run them where they can do no harm.

Trust: scan jail. Input: untrusted text of a model file. Nothing in here does I/O or raises.
"""
