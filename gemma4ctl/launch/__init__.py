"""Preflight, start, watch and stop a server."""
