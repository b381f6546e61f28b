"""Corrects and completes moto's EC2: launches, spot requests, prices."""
