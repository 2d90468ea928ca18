"""A fleet of devices that report believable telemetry, the same for the same seed.

``events(seed, devices, start, until)`` gives what the platform accepts in [start, until), oldest first. Every
event follows from seed, device and time slot alone, so windows may be cut anywhere: two adjoining windows give
exactly what one over both gives. Event types and payloads: fact sheet 9, 10.
"""

from simulators.opentext_iot.fleet.delivery import Event, events
from simulators.opentext_iot.fleet.devices import BEHAVIOURS, FAMILIES, Device, fleet
from simulators.opentext_iot.fleet.shop import Shop
from simulators.opentext_iot.fleet.telemetry import EVENT_TYPES

__all__ = ["BEHAVIOURS", "EVENT_TYPES", "FAMILIES", "Device", "Event", "Shop", "events", "fleet"]
