"""The receiver: far sides push events here, each source with credentials of its own, and the right flows start.

    settings     include/receiver.yaml: which sources there are, their limits, what their events start
    credentials  who may deliver: one Airflow connection per source
    shop, media, devices, signals   what each far side's deliveries look like, and what they are answered
    door         the way of every delivery: known, allowed, small enough, read, durable, answered
    app          the routes, imported by the API server only
    nudging      what makes a delivery start a flow, run by the triggerer

Events are nudges: a flow reads what changed by its own cursor, and keeps its hours.
"""
