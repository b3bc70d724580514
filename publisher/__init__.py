"""Moves outbox messages to NATS JetStream."""
