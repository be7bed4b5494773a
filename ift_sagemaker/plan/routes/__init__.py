"""One module per way to fine-tune."""
