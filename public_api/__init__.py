"""HTTP for those who start, follow and read executions."""
