"""SAP Commerce Cloud: its Integration API (OData v2) read in windows, written in batches.

``client`` knows the API, ``decode`` its pages, ``windows`` how to read without losing a row, ``loader`` how
to write with an outcome per row; ``hook`` and ``operators`` are what Airflow uses.
"""
