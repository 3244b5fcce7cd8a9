"""What an audit event may say, how it is rendered, read, told and walked."""
