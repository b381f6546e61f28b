"""Runs on a host, fetches a run's code, trains, and leaves an exact record of it in the bucket.

`remote/agent_bundle.py` ships the package with `contract/` as one file. It knows nothing of the laptop: its only input
is the run's spec, and its only output goes to the bucket. It needs Python 3.10, the standard library and boto3.
"""
