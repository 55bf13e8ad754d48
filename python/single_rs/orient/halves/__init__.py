"""The two half sets: solved apart, compared and joined."""
