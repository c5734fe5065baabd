"""The local stack: a private Redis, workers for the queues, MLflow, and, when it is kept up, Flower."""
