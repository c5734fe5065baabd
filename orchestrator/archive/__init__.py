"""What lasts of every run, in the artifact store: specifications, manifests, logs and final records."""
