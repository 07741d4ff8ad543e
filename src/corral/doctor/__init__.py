"""What this host can enforce, wall by wall, and what corral will therefore do.

Trust: operator side; reads the kernel's files and asks child processes, changes nothing.
"""
