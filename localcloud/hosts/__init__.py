"""Makes real hosts match what EC2 describes, and gives them metadata and credentials."""
