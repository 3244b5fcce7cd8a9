"""Tables, migrations and the stores that implement the ports of `provisioning`. Decides nothing about access."""
