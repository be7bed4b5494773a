"""CloudWatch Logs, and the way there from a program's output."""
