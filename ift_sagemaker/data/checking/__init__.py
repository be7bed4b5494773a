"""Every finding in rows, their figures, and the report of both."""
