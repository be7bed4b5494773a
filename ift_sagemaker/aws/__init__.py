"""The gateway to AWS: intentions in, requests out, our errors back. The only importer of boto3."""
