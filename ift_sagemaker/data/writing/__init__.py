"""Files of rows that appear whole or not at all."""
