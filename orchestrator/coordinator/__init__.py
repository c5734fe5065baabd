"""The coordinator: a service that repairs runs after lost workers and messages. Of several, one leads."""
