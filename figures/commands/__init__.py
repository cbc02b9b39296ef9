"""Commands that draw and report, one file each."""
