"""What the local AWS is to its users, as data: every operation, setting and label. Docs are made of it."""
