"""The laptop's side: reaches hosts, runs and code trees. `agent/` runs on a host and imports nothing from here."""
