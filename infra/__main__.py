"""Runs the Pulumi program of the environment; Pulumi.yaml names this folder as its `main`."""

from infra.program import deploy

deploy()
