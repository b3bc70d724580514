"""Folds published events into snapshots."""
