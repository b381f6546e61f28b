"""The command line itself: the task decorator, output, help, refusals; nothing of any one command."""
