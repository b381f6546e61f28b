"""What a stack consists of, on disk and in the cloud, and how either is repaired."""
