"""OpenAI's JSON for answers, built from wire values; nothing of an engine is passed through.

Trust: gateway [net]. Input: checked values.
"""
