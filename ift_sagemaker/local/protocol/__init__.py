"""What a request is, and how a refusal is printed in each of AWS's protocols."""
