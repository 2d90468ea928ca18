"""The OpenText IoT Platform, whose wire format stands in a profile (YAML), not in code."""
