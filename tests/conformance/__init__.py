"""What every implementation of the ports must do, run on SQLite and on PostgreSQL."""
