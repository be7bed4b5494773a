"""One module per way to serve."""
