"""corral as a service of systemd: its units, their installation, socket activation.

Trust: operator side. Nothing here serves anybody; the launcher is not in this package.
"""
