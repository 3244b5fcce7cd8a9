"""What an audit event is: actions, schema, canonical form, redaction. Pure; writes and sends nothing."""
