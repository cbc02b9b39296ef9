"""What `benchmarks/training.py` measures this package against: the same training, written the ways a strong researcher would write it."""
