"""What runs first inside every jail: it locks the process further, then runs the jail's program.

Trust: trusted base code in a hostile place; standard library only.
"""
