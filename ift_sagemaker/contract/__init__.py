"""What a request to AWS must be: `shapes` (botocore's model), `rules` (what AWS demands beyond it), `names`.

Nothing here opens a connection or reads an AWS configuration.
"""
