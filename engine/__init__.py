"""The workflow engine: pure decisions, the write side, the read side and what every process needs."""
