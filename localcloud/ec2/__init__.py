"""What moto's EC2 lacks or gets wrong: launches, spot requests, prices."""
