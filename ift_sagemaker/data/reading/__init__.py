"""From files, folders and S3 to numbered rows."""
