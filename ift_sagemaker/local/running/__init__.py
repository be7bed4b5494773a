"""How a program is run under /opt/ml: runners, images, and what goes in and comes out."""
