"""S3 on plain files."""
