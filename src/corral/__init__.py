"""corral: the server for GGUF models you do not trust, for users who do not trust each other."""

__version__ = "0.1.0"
