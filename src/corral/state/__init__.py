"""The database of one installation: tables, migrations, connections, change detection.

Trust: gateway [net] and operator side. Nothing here decides who may do what.
"""
