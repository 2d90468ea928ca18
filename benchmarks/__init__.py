"""Side-by-side measurements: what Commerce Sync costs beside the libraries people use for the same work today.

``python -m benchmarks`` runs every case; README.md says how a figure comes about and how to read it.
"""
