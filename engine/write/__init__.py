"""The command side: everything that changes the event log, each in one transaction."""
