"""The definition of correct: short float64 NumPy functions that every implementation is tested against."""
