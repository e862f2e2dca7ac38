"""What correct means: short float64 NumPy definitions that every backend is tested against."""
