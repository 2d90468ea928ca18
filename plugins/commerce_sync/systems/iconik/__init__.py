"""iconik: its REST API read by search and by object, written object by object, files streamed to disk.

``client`` knows calls, paging and errors; ``catalogue``, ``metadata``, ``media`` and ``services`` the resources;
``extract`` how to read without losing an asset, ``loader`` how to write with an outcome per row; ``hook``,
``operators`` and ``triggers`` are what Airflow uses.
"""
