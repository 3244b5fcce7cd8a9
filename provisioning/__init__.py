"""The one write path: commands become state, audit event and outbox row in one transaction. Knows ports, not SQL."""
