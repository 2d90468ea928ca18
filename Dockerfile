# syntax=docker/dockerfile:1
# Airflow with Commerce Sync, for every Airflow service of docker-compose.yaml and deploy/helm-values.yaml.
FROM python:3.12.12-slim-bookworm AS airflow

ENV AIRFLOW_HOME=/opt/airflow \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    GX_ANALYTICS_ENABLED=false

SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# The base image is pinned; Debian keeps only the newest version of a package, so that pinning these breaks builds.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends curl procps \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --home-dir /opt/airflow --uid 50000 --gid 0 airflow

WORKDIR /opt/airflow
COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt \
 && (python -m compileall -q -j 0 /usr/local/lib/python3.12/site-packages || true)

COPY plugins ./plugins
RUN pip install --no-deps --no-build-isolation ./plugins \
 && python -m compileall -q /usr/local/lib/python3.12/site-packages/commerce_sync
COPY dags ./dags
COPY include ./include
# Group 0 may write here whatever the user: some clusters choose a user id themselves.
RUN mkdir -p logs sync && chown -R 50000:0 logs sync && chmod -R g=u logs sync

USER 50000:0
CMD ["airflow", "version"]

# The simulated systems with the demo's data, to try everything on; not for production.
FROM airflow AS simulators
USER 0
COPY requirements-dev.txt ./
RUN pip install --require-hashes -r requirements-dev.txt
COPY simulators ./simulators
COPY include ./include
ENV PYTHONPATH=/opt/airflow
USER 50000:0
CMD ["python", "-m", "simulators"]

# Last, so that a build without a target makes it.
FROM airflow
