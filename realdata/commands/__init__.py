"""Commands on real data, one file each."""
