"""The models of our catalogue as AWS's own clients look them up: hub contents and JumpStart's files."""
