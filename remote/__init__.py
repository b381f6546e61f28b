"""How hosts are reached: the laptop's side. What runs on a host is `agent`, and never imports from here."""
