"""moto's models, the lock around them, and what is kept over a restart."""
