"""Starts MLflow's server, with the users and passwords that the environment names.

There is an administrator, for people, and one user for the stack's own services, who may do nothing but log
runs, register models and change what they have made. The administrator adds whoever else is to sign in.
"""

from __future__ import annotations

import os
import sys

from mlflow.server.auth.config import read_auth_config
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

ADMINISTRATOR = ("MLFLOW_AUTH_ADMIN_USERNAME", "MLFLOW_AUTH_ADMIN_PASSWORD")
SERVICES = ("MLFLOW_SERVICES_USERNAME", "MLFLOW_SERVICES_PASSWORD")


def main() -> None:
    """Make the users, or give them the passwords that they have now, and become the server."""
    store = SqlAlchemyStore()
    store.init_db(read_auth_config().database_uri)
    for (name, password), administrator in ((ADMINISTRATOR, True), (SERVICES, False)):
        set_user(store, os.environ[name], os.environ[password], administrator=administrator)
    store.engine.dispose()
    os.environ.pop(SERVICES[1])
    os.execvp("mlflow", ["mlflow", "server", *sys.argv[1:]])  # noqa: S606 - no shell is meant to be there


def set_user(store: SqlAlchemyStore, name: str, password: str, *, administrator: bool) -> None:
    """Make a user, or change its password and its role."""
    if not store.has_user(name):
        store.create_user(name, password, is_admin=administrator)
    elif not store.authenticate_user(name, password) or store.get_user(name).is_admin != administrator:
        store.update_user(name, password=password, is_admin=administrator)


if __name__ == "__main__":
    main()
