"""`make test-cluster`: the set of docker-compose.yaml's profile ``celery`` as local processes, with a worker killed.

PostgreSQL, Redis and an S3 server come from wheels; everything listens on the loopback only, writes to one temporary
folder, and ends with this process.
"""
