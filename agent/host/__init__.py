"""What the host tells about itself: metadata, load, processes, spot notices."""
