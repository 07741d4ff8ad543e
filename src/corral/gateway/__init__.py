"""The network zone: TLS, HTTP, the pipeline of a request, OpenAI's shapes.

Trust: net. Can connect to nobody, opens no model file, spawns nothing; engines are reached through
descriptors that the launcher passes. Start reading at `gateway/pipeline.py`.
"""
