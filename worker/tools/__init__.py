"""One file a tool a worker can run."""
