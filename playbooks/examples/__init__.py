"""Playbooks to learn from, each run by the end-to-end tests, with the code and the service they call."""
