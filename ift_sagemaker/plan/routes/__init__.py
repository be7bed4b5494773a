"""One module for each way to fine-tune: what is asked for becomes uploads and exact requests."""
