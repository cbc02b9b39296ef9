"""The same experiments on real data sets."""
