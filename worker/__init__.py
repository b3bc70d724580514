"""Runs commands: the pool loop and one file a tool."""
