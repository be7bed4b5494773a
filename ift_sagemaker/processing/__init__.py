"""Instruction data beyond one machine: checked and converted by SageMaker Processing jobs."""
