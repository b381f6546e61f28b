"""What exists: the Pulumi program of one environment, and the contract of what it exports."""
