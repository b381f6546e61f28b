"""What laptop and host agree on: formats and times that both read. Python 3.10, the standard library, nothing else."""
