"""Engine workers: the wire they speak, their links, their lives and who is sent to which one.

Trust: the gateway's and the command line's side [net, operator]; `worker` and `drivers` run in
the jail. A worker is hostile: every byte of it is bounded and checked before anybody sees it.
"""
