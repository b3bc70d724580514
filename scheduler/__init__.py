"""Does everything that is due: timers, expired leases, old deliveries, the sweep."""
