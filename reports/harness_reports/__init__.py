"""The reports: one file each, found by entry point, given a record and a folder."""
