"""What lasts: settings, the store, and what all resources have in common."""
