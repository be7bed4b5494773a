"""Rows as the files that a tuning service takes."""
