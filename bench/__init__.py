"""Benchmarks that check their results and print ratios measured in one run."""
