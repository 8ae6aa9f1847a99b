"""The cost of Parley in comparison with a floor that does the same durable work and nothing else."""
