"""`python -m corral` is the `corral` command.

Trust: operator side.
"""

from corral.cli.main import main

main()
