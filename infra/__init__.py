"""Declares one environment as a Pulumi program and defines the contract of its outputs."""
