"""The bodies of the commands, one module per noun. Heavy imports happen inside the functions."""
