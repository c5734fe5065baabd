"""Execute one attempt of a node in a worker, from the claim to the commit."""
