# Airflow with Commerce Sync, for every service of docker-compose.yaml.
FROM python:3.12-slim-bookworm

ENV AIRFLOW_HOME=/opt/airflow \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    GX_ANALYTICS_ENABLED=false

RUN apt-get update \
 && apt-get install -y --no-install-recommends curl dumb-init \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --home-dir /opt/airflow --uid 50000 --gid 0 airflow

WORKDIR /opt/airflow
COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt

COPY --chown=airflow:0 plugins ./plugins
RUN pip install --no-deps --no-build-isolation ./plugins && python -m compileall -q /usr/local/lib/python3.12/site-packages || true
COPY --chown=airflow:0 dags ./dags
COPY --chown=airflow:0 include ./include
RUN mkdir -p logs sync && chown -R airflow:0 /opt/airflow

USER airflow
ENTRYPOINT ["dumb-init", "--"]
CMD ["airflow", "version"]
