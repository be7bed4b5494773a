"""What of files goes to S3, and how what lies there is known again."""
