"""The OCC REST subset that integrations use; see ``routes`` for the calls."""
