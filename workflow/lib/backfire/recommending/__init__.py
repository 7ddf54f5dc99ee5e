"""What to use: every system with its verdict and its cost, and the choice among them by explicit rules."""
