"""`init` makes a project of one's own: a typed pipeline, its tests, an image, a Compose stack, a CI job."""

from __future__ import annotations

import ast
import json
import keyword
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from urllib.request import url2pathname

import typer

from orchestrator.cli.errors import UsageError
from orchestrator.client.program import with_program_name

DISTRIBUTION = "celery-ml-orchestrator"
HERE = Path(__file__).parent
#: The project that is copied, in which the placeholders stand for what differs.
TEMPLATE = HERE / "project"
PLACEHOLDERS = ("sample_project", "sample-project", ">=0.0.0")
#: Wheels and setuptools' globs leave out names that begin with a dot.
_DOT = "dot-"
#: Where the wheel has docker-compose.yml and its folder `docker` (setup.py); a checkout has them at its root.
_IN_WHEEL, _IN_CHECKOUT = HERE / "compose", HERE.parents[1]
#: Of the folder `docker`: the image of the orchestrator's own checkout.
_NOT_COPIED = ("Dockerfile*", "__pycache__")
#: Letters of a project's name.
LONGEST = 60
#: Folders of the new project that a package must not be named like.
_FOLDERS = frozenset({"data", "docker", "tests", "test", "wheels"})


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the project, such as `churn`.")],
) -> None:
    """Make a project of your own: a pipeline, its tests, an image, a stack for Compose."""
    project, package = names_of(name)
    folder = Path.cwd() / project
    check_place(folder)
    make_project(folder, project, package)
    print(f"{project}/ is made; next:")
    print(f"  cd {project} && {command_for_tests()}")
    print(with_program_name(f"  orchestrator run {package}", folder))


def names_of(name: str) -> tuple[str, str]:
    """The project's name and its package's: `my-churn` and `my_churn`; raises UsageError."""
    if not re.fullmatch(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", name):
        raise UsageError(
            f"'{name}' cannot be a project's name",
            hint="write it in small letters and digits, with single hyphens between words, such as my-churn",
        )
    package = name.replace("-", "_")
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or package in _FOLDERS:
        raise UsageError(f"'{package}' cannot be a package's name: Python or the project itself uses it")
    if len(package) > LONGEST or package in template_names():
        raise UsageError(
            f"'{package}' cannot be a pipeline's name: it is too long, or used in the new pipeline's code",
            hint="choose another name",
        )
    if is_installed(package) or package in shipped_pipelines():
        raise UsageError(
            f"there is a package or a pipeline '{package}' already, which the new one would hide",
            hint="choose another name",
        )
    return package.replace("_", "-"), package


def template_names() -> frozenset[str]:
    """The names of modules, functions and constants in the code of a new project."""
    found = set[str]()
    for file in TEMPLATE.rglob("*.py"):
        for node in ast.parse(file.read_text("utf-8")).body:
            match node:
                case ast.Import(names) | ast.ImportFrom(names=names):
                    found.update((each.asname or each.name).partition(".")[0] for each in names)
                case ast.FunctionDef(name) | ast.ClassDef(name):
                    found.add(name)
                case ast.Assign(targets):
                    found.update(each.id for each in targets if isinstance(each, ast.Name))
    return frozenset(found - {PLACEHOLDERS[0]})


def is_installed(package: str) -> bool:
    """Whether another package of that name can be imported; an empty folder is none."""
    found = find_spec(package)
    return found is not None and found.origin is not None


def shipped_pipelines() -> frozenset[str]:
    """The names of the pipelines that ship: those of their modules."""
    return frozenset(each.stem for each in (HERE.parents[1] / "pipelines").iterdir())


def check_place(folder: Path) -> None:
    """Raise UsageError unless the folder is missing or empty."""
    if folder.is_symlink() or folder.exists():
        if not folder.is_dir():
            raise UsageError(f"{folder} is there already, and no folder", hint="choose another name")
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is there already, and not empty", hint="choose another name")


def command_for_tests() -> str:
    """What runs the project's tests, with this installation where it has pytest."""
    if find_spec("pytest") is None:
        wheels = "--find-links wheels " if own_wheel() else ""
        return f"pip install {wheels}--editable '.[test]' && pytest    # in a virtual environment"
    beside = Path(sysconfig.get_path("scripts")) / "pytest"
    return "pytest" if shutil.which("pytest") == str(beside) else f"{sys.executable} -m pytest"


def own_wheel() -> Path | None:
    """The wheel file that this was installed from, if it still is there: an index may not have it."""
    about = json.loads(distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")  # by PEP 610
    url = urlsplit(about.get("url", ""))
    wheel = Path(url2pathname(url.path))
    return wheel if url.scheme == "file" and wheel.suffix == ".whl" and wheel.is_file() else None


def make_project(folder: Path, project: str, package: str) -> None:
    """Write the project beside its place first, so that it is there as a whole or not at all.

    Raises UsageError where the installation has no files for Compose, OSError where nothing can be written.
    """
    stack = stack_files()
    words = dict(zip(PLACEHOLDERS, (package, project, f">={version(DISTRIBUTION)}"), strict=True))
    with tempfile.TemporaryDirectory(prefix=f".{project}-", dir=folder.parent) as unfinished:
        made = Path(unfinished) / project
        for source, target in template_files():
            place = made / filled(target, words)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(filled(source.read_text(encoding="utf-8"), words), encoding="utf-8")
        shutil.copy(stack / "docker-compose.yml", made)
        ignored = shutil.ignore_patterns(*_NOT_COPIED)
        shutil.copytree(stack / "docker", made / "docker", ignore=ignored)
        if wheel := own_wheel():
            shutil.copy(wheel, made / "wheels")
        (made / "docker" / "flower").mkdir()
        shutil.copy(HERE.parents[1] / "workers" / "flowerconfig.py", made / "docker" / "flower")
        made.replace(folder)


def stack_files() -> Path:
    """The folder with docker-compose.yml and `docker`; raises UsageError in an image, which has none."""
    for place in (_IN_WHEEL, _IN_CHECKOUT):
        if (place / "docker-compose.yml").is_file():
            return place
    raise UsageError(
        "this installation has no files for Compose",
        hint="call init where celery-ml-orchestrator was installed from its wheel",
    )


def template_files() -> Iterator[tuple[Path, str]]:
    """Each file of the template, with its path in the project."""
    for file in sorted(TEMPLATE.rglob("*")):
        parts = file.relative_to(TEMPLATE).parts
        if file.is_file() and "__pycache__" not in parts:
            yield file, "/".join(re.sub(f"^{_DOT}", ".", part) for part in parts)


def filled(text: str, words: dict[str, str]) -> str:
    """The text with the new project's words in it."""
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text
