"""`make demo`: two flows on real shop data, run by the scheduler, proved by recomputing every figure.

Everything the demo makes lives in ``.demo/`` inside the project folder, and everything it starts ends with
it.
"""
