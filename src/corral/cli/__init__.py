"""The command line: one module for each verb, registered in `main`.

Trust: operator side. Whatever a model, a jail or the network said is printed through
`terminal.plain_text`. Heavy imports stand inside functions, so that `--help` stays fast.
"""
