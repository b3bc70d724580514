"""Playbooks tried out in memory: scripted tools, a virtual clock, no server."""
