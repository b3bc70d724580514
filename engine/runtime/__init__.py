"""What every process needs: settings, database, broker, loops, logs, metrics and HTTP."""
