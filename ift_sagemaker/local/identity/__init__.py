"""Who is who: STS and IAM, as far as clients ask. Nothing here restricts anybody."""
