"""Reads a Pulumi project, runs its program, and answers it as Pulumi's engine would."""
