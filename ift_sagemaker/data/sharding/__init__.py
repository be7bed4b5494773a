"""The same work over several instances: what each does, and how their parts come together."""
