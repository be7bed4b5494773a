"""Which texts are equal or nearly so, among more than memory holds."""
