"""Proofs: seeded random histories, a saboteur and known bugs, each against an oracle of its own.

``python -m proofs completeness|saboteur|mutations``; tables on the screen, figures in ``proofs/results``.
"""
