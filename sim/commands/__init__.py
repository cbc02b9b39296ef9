"""Commands of the toolkit itself, one file each."""
