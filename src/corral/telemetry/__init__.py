"""What corral tells its operator: structured logs without secrets and without anybody's text.

Trust: every zone but the trusted base and the jails.
"""
