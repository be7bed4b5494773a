"""What a row is: its fields, its shapes, the rules it has to keep, and what is found where it does not."""
