"""An empty database upgraded has the tables that the code declares; a newer one is refused."""
