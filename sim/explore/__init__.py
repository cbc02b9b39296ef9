"""The live explorer: one headless engine, one front end, two hosts (a page and a notebook widget)."""
