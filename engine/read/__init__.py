"""The query side: answers from snapshots and from the log."""
