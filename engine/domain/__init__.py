"""Pure rules of an execution: events, folding and deciding, with no I/O."""
