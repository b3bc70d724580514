"""Every role in one process, with memory where NATS would be."""
