"""How hosts are reached: the laptop's side. What runs on a host is `remote.agent`, and never imports from here."""
