"""What Parley costs, beside a floor that does the same durable work with nothing in between."""
