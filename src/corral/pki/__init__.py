"""Key material on disk: corral's own CA, the server certificate, the receipt signing key.

Trust: operator side. Private keys are 0600, never logged, never sent to the gateway but by
descriptor.
"""
