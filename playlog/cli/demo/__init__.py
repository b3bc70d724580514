"""The demonstration: the engine started in a temporary place, used, and checked."""
