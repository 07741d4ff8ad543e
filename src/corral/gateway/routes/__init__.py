"""Endpoints that are not the pipeline: listings and health.

Trust: gateway [net]. Input: hostile requests.
"""
