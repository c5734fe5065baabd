"""Starts MLflow with the secrets that files hold: its server, with the stack's users, or another command.

There is an administrator, for people, and one user for the stack's own services, who may do nothing but log
runs, register models and change what they have made. The administrator adds whoever else is to sign in.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mlflow.server.auth.config import read_auth_config
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

#: Variables whose values are in the files that NAME_FILE names.
IN_FILES = ("PGPASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY")
ADMINISTRATOR = ("MLFLOW_AUTH_ADMIN_USERNAME", "MLFLOW_AUTH_ADMIN_PASSWORD")
SERVICES = ("MLFLOW_SERVICES_USERNAME", "MLFLOW_SERVICES_PASSWORD")


def main() -> None:
    """Become `mlflow` with the words given; its server has its users by then."""
    os.environ.update({name: secret(name) for name in IN_FILES})
    if sys.argv[1:2] == ["server"]:
        make_users()
    os.execvp("mlflow", ["mlflow", *sys.argv[1:]])  # noqa: S606 - no shell is meant to be there


def secret(name: str) -> str:
    """What is in the file that the variable NAME_FILE names."""
    return Path(os.environ[f"{name}_FILE"]).read_text(encoding="utf-8").strip()


def make_users() -> None:
    """Make the users, or give them the passwords that they have now."""
    store = SqlAlchemyStore()
    store.init_db(read_auth_config().database_uri)
    for (name, password), administrator in ((ADMINISTRATOR, True), (SERVICES, False)):
        set_user(store, os.environ[name], secret(password), administrator=administrator)
    store.engine.dispose()


def set_user(store: SqlAlchemyStore, name: str, password: str, *, administrator: bool) -> None:
    """Make a user, or change its password and its role."""
    if not store.has_user(name):
        store.create_user(name, password, is_admin=administrator)
    elif not store.authenticate_user(name, password) or store.get_user(name).is_admin != administrator:
        store.update_user(name, password=password, is_admin=administrator)


if __name__ == "__main__":
    main()
