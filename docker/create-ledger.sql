CREATE DATABASE ledger OWNER airflow;
