"""One file per revision, named r<number>_<what>.py; the number is the revision."""
