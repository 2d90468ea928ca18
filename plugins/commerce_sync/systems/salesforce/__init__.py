"""Salesforce: client, loader (Collections and Bulk API 2.0), hook, operators, trigger."""
