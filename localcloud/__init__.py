"""Runs a cloud on the laptop: one process on 127.0.0.1 that speaks AWS's protocols and whose hosts really execute.

`localcloud.daemon` is the laptop's side (start, find, stop) and imports nothing heavy. Everything else runs inside the
one background process that `python -m localcloud` is. The room imports no other room.
"""
