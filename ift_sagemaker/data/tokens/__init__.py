"""What a model will see of rows, and how many tokens that is."""
