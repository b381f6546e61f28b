"""Guards moto's models with a lock and keeps them across a restart."""
