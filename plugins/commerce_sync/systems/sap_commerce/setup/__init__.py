"""Set-up of a shop as code: what a file wants, what the Meta APIs say there is, the difference, and making it so.

Source: SAP Commerce Cloud 2211 documentation, "Integrations and Data Management": Integration API Module
(IntegrationService, ScriptService), Outbound Sync (OutboundChannelConfig), Webhooks (WebhookService).
"""

SECTIONS = ("integration_objects", "scripts", "credentials", "destinations", "outbound_channels", "webhooks")
"""Parts of the file."""
