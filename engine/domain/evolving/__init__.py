"""One small case an event type: how it changes the state. Nothing is decided here."""
