"""What both sides of the wire agree on: paths, rows, templates, hyperparameters, metrics, artefacts.

Standard library only, since it also travels inside the program that runs in AWS's own image.
"""
