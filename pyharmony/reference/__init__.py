"""Reference implementations: short float64 NumPy functions against which every implementation is tested."""
