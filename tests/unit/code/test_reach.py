"""What of the user's code a stage reaches, and by which names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from orchestrator.authoring.graph import StageName
from orchestrator.authoring.stage import stages
from orchestrator.code import differing, in_words, modules
from orchestrator.code.reach import Reached, reached_by

FIT = StageName("shop.stages.fit")

Look = Callable[[Mapping[str, str]], Reached]


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Look]:
    """Writes files, imports `shop.stages` from them anew, and says what its stage `fit` reaches."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("shop", "beside")]:
            del sys.modules[name]
        modules._found.clear()
        importlib.invalidate_caches()

    def write(files: Mapping[str, str]) -> Reached:
        for name, text in {"shop/__init__.py": "", **files}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))
        forget()
        importlib.import_module("shop.stages")
        return reached_by(stages[FIT])

    yield write
    forget()
    for name in [name for name in stages if name.startswith("shop.")]:
        del stages[name]


def changed(before: Reached, after: Reached) -> set[str]:
    differing = dict(set(before.definitions.items()) ^ set(after.definitions.items()))
    return {name.removeprefix("shop.") for name in differing}


HEAD = "from orchestrator import stage\n"
FACTOR = "def factor():\n    return {}\n\ndef unused():\n    return {}\n"

WAYS = {
    "from import": """
        from shop.helpers import factor
        @stage
        def fit() -> int:
            return factor()
    """,
    "renamed": """
        from shop.helpers import factor as f
        @stage
        def fit() -> int:
            return f()
    """,
    "module": """
        import shop.helpers
        @stage
        def fit() -> int:
            return shop.helpers.factor()
    """,
    "module renamed": """
        import shop.helpers as h
        @stage
        def fit() -> int:
            return h.factor()
    """,
    "relative": """
        from . import helpers
        @stage
        def fit() -> int:
            return helpers.factor()
    """,
    "relative name": """
        from .helpers import factor
        @stage
        def fit() -> int:
            return factor()
    """,
    "star": """
        from shop.helpers import *
        @stage
        def fit() -> int:
            return factor()
    """,
    "inside": """
        @stage
        def fit() -> int:
            from shop.helpers import factor
            return factor()
    """,
    "inside renamed": """
        @stage
        def fit() -> int:
            import shop.helpers as h
            return h.factor()
    """,
    "if there": """
        try:
            from shop.helpers import factor
        except ImportError:
            factor = None
        @stage
        def fit() -> int:
            return factor()
    """,
    "lambda": """
        from shop.helpers import factor
        call = lambda: factor()
        @stage
        def fit() -> int:
            return call()
    """,
    "partial": """
        from functools import partial
        from shop.helpers import factor
        call = partial(factor)
        @stage
        def fit() -> int:
            return call()
    """,
    "decorator": """
        from shop.helpers import factor
        def twice(f):
            def call() -> int:
                return f() * factor()
            call.__name__ = 'fit'
            call.__module__ = __name__
            return call
        @stage
        @twice
        def fit() -> int:
            return 1
    """,
    "closure": """
        from shop.helpers import factor
        def make(call):
            @stage
            def fit() -> int:
                return call()
            return fit
        fitting = make(factor)
    """,
    "method": """
        from shop import helpers
        class Model:
            def fit(self):
                return helpers.factor()
        @stage
        def fit() -> int:
            return Model().fit()
    """,
    "table": """
        from shop import helpers
        CALLS = {}
        CALLS['f'] = helpers.factor
        @stage
        def fit() -> int:
            return CALLS['f']()
    """,
    "another stage": """
        from shop.helpers import factor
        @stage
        def other() -> int:
            return factor()
        @stage
        def fit() -> int:
            return other()
    """,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_change_of_a_function_that_is_reached_is_seen(look: Look, way: str) -> None:
    files = {"shop/stages.py": HEAD + dedent(WAYS[way]), "shop/helpers.py": FACTOR.format(2, 3)}
    before = look(files)
    assert changed(before, look(files)) == set()
    after = look({**files, "shop/helpers.py": "# a comment\n" + FACTOR.format(2, 4)})
    assert changed(before, after) == set()
    after = look({**files, "shop/helpers.py": FACTOR.format(5, 4)})
    assert changed(before, after) == {"helpers.factor"}


def test_a_module_that_is_used_as_a_value_is_reached_as_a_whole(look: Look) -> None:
    text = "from . import helpers\n@stage\ndef fit(way: str) -> int:\n    return getattr(helpers, way)()\n"
    files = {"shop/stages.py": HEAD + text, "shop/helpers.py": FACTOR.format(2, 3)}
    after = {**files, "shop/helpers.py": FACTOR.format(2, 4)}
    assert changed(look(files), look(after)) == {"helpers.unused"}


LOOKED_UP = {
    "registered": """
        FOUND = {}
        def register(function):
            FOUND[function.__name__] = function
            return function
        @register
        def factor(): return SIZE
        def call(): return FOUND["factor"]()
    """,
    "registered by a class": """
        class Registry:
            found = {}
            @classmethod
            def add(cls, name):
                return lambda function: cls.found.setdefault(name, function)
        @Registry.add("factor")
        def factor(): return SIZE
        def call(): return Registry.found["factor"]()
    """,
    "registered with an object": """
        class Registry:
            def __init__(self): self.found = []
            def add(self, function): self.found.append(function)
        registry = Registry()
        @registry.add
        def factor(): return SIZE
        def call(): return registry.found[0]()
    """,
    "single dispatch": """
        from functools import singledispatch
        @singledispatch
        def factor(x): return 0
        @factor.register
        def _(x: int): return SIZE
        def call(): return factor(1)
    """,
    "subclasses": """
        class Base: pass
        class One(Base):
            def factor(self): return SIZE
        def call(): return Base.__subclasses__()[0]().factor()
    """,
    "globals": """
        def factor(): return SIZE
        def call(): return globals()["factor"]()
    """,
    "eval": """
        def factor(): return SIZE
        def call(): return eval("factor()")
    """,
    "sys.modules": """
        import sys
        def factor(): return SIZE
        def call(): return getattr(sys.modules[__name__], "factor")()
    """,
}


@pytest.mark.parametrize("way", LOOKED_UP)
def test_what_is_looked_up_by_name_or_registered_is_reached(look: Look, way: str) -> None:
    text = HEAD + "from .helpers import call\n@stage\ndef fit() -> int:\n    return call()\n"
    helpers = dedent(LOOKED_UP[way])
    before = look({"shop/stages.py": text, "shop/helpers.py": helpers + "SIZE = 1\n"})
    after = look({"shop/stages.py": text, "shop/helpers.py": helpers + "SIZE = 2\n"})
    assert changed(before, after) == {"helpers.SIZE"}


def test_a_process_that_holds_less_in_memory_has_no_other_code(look: Look) -> None:
    files = {
        "shop/stages.py": HEAD + "from .helpers import call\n@stage\ndef fit() -> int:\n    return call()\n",
        "shop/helpers.py": dedent(LOOKED_UP["registered"]) + "SIZE = 1\n",
        "shop/more.py": "from .helpers import register\n@register\ndef another(): return 1\n",
    }
    less = look(files)
    importlib.import_module("shop.more")
    more = reached_by(stages[FIT])
    assert changed(less, more) == {"more.another"}
    assert differing(more.definitions, less.definitions) == ()
    assert differing(less.definitions, more.definitions) == ()


def test_constants_and_what_they_are_made_from_are_reached(look: Look) -> None:
    text = "from .values import TABLE\n@stage\ndef fit() -> int:\n    return TABLE['a']\n"
    values = "BASE = {}\ndef double(x):\n    return x * {}\nTABLE = dict(a=double(BASE))\nOTHER = {}\n"
    files = {"shop/stages.py": HEAD + text, "shop/values.py": values.format(1, 2, 3)}
    before = look(files)
    for change, names in {
        (9, 2, 3): {"values.BASE"},
        (1, 9, 3): {"values.double"},
        (1, 2, 9): set(),
    }.items():
        assert changed(before, look({**files, "shop/values.py": values.format(*change)})) == names
    altered = values.format(1, 2, 3) + "TABLE['b'] = 1\n"
    assert changed(before, look({**files, "shop/values.py": altered})) == {"values.TABLE"}


def test_classes_are_reached_with_their_bases_and_by_annotations(look: Look) -> None:
    text = "from .kinds import Row\n@stage\ndef fit(rows: 'list[Row]') -> int:\n    return len(rows)\n"
    kinds = "class Base:\n    size = {}\nclass Row(Base):\n    pass\n"
    files = {"shop/stages.py": HEAD + text, "shop/kinds.py": kinds.format(1)}
    assert changed(look(files), look({**files, "shop/kinds.py": kinds.format(2)})) == {"kinds.Base"}


def test_modules_that_import_one_another_are_gone_through_once(look: Look) -> None:
    files = {
        "shop/stages.py": HEAD + "from . import a\n@stage\ndef fit() -> int:\n    return a.one(3)\n",
        "shop/a.py": "from . import b\ndef one(n):\n    return n and b.two(n - 1)\n",
        "shop/b.py": "from . import a\ndef two(n):\n    return n and a.one(n - 1)\n",
    }
    before = look(files)
    assert set(before.definitions) == {"shop.stages.fit", "shop.a.one", "shop.b.two"}
    after = look({**files, "shop/b.py": files["shop/b.py"] + "    # more\n    return 1\n"})
    assert changed(before, after) == {"b.two"}


def test_what_a_module_does_as_it_is_loaded_counts(look: Look) -> None:
    text = "from . import values, patches\n@stage\ndef fit() -> int:\n    return values.SIZE\n"
    files = {
        "shop/stages.py": HEAD + text,
        "shop/values.py": "SIZE = 1\n",
        "shop/patches.py": "from . import values\nvalues.SIZE = 2\n",
    }
    after = {**files, "shop/patches.py": "from . import values\nvalues.SIZE = 3\n"}
    assert changed(look(files), look(after)) == {"patches", "patches.values"}


def test_names_that_a_package_passes_on_are_followed(look: Look) -> None:
    files = {
        "shop/stages.py": HEAD + "from . import tools\n@stage\ndef fit() -> int:\n    tools.factor()\n",
        "shop/tools/__init__.py": "from .inner import *\n",
        "shop/tools/inner.py": "from ..helpers import factor\n",
        "shop/helpers.py": FACTOR.format(2, 3),
    }
    after = {**files, "shop/helpers.py": FACTOR.format(9, 3)}
    assert changed(look(files), look(after)) == {"helpers.factor"}


def test_a_module_beside_the_stages_is_the_users_own(look: Look) -> None:
    files = {
        "shop/stages.py": HEAD + "import beside\n@stage\ndef fit() -> int:\n    return beside.factor()\n",
        "beside.py": FACTOR.format(2, 3),
    }
    assert changed(look(files), look({**files, "beside.py": FACTOR.format(9, 3)})) == {"beside.factor"}


def test_what_is_installed_with_the_stages_is_the_users_own(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(str(installed))
    files = {
        "site-packages/shop/__init__.py": "",
        "site-packages/shop/stages.py": HEAD
        + "import beside as b, foreign as f\n@stage\ndef fit() -> int:\n    return b.factor() + f.factor()\n",
        "site-packages/beside.py": FACTOR.format(2, 3),
        "site-packages/foreign.py": FACTOR.format(2, 3),
        "site-packages/shop-1.dist-info/METADATA": "Name: shop\nVersion: 1\n",
        "site-packages/shop-1.dist-info/RECORD": "shop/__init__.py,,\nshop/stages.py,,\nbeside.py,,\n",
    }
    modules._lies_outside.cache_clear()
    modules._installed_with.cache_clear()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text("")
    reached = look(files)
    assert set(reached.definitions) == {"shop.stages.fit", "beside.factor"}
    assert reached.libraries == {"foreign"}
    modules._lies_outside.cache_clear()
    modules._installed_with.cache_clear()


def test_the_options_of_a_stage_are_not_its_code(look: Look) -> None:
    text = "import pandas\nfrom orchestrator import Retry\n{}\ndef fit() -> int:\n    return len(pandas.NA)\n"
    before = look({"shop/stages.py": HEAD + text.format("@stage")})
    after = look({"shop/stages.py": HEAD + text.format("@stage(queue='training', retry=Retry(times=9))")})
    assert changed(before, after) == set()
    assert after.libraries == {"pandas"}
    assert after.with_versions()["pandas"].count(".") == 2


def test_another_library_under_the_same_name_is_a_change(look: Look) -> None:
    text = "import {} as m\n@stage\ndef fit() -> float:\n    return m.sqrt(2)\n"
    before = look({"shop/stages.py": HEAD + text.format("math")})
    assert changed(before, look({"shop/stages.py": HEAD + text.format("cmath")})) == {"stages.fit"}


def test_what_a_factory_is_called_with_is_reached(look: Look) -> None:
    make = "def make(k):\n    @stage\n    def fit(x: int) -> int:\n        return x * k\n    return fit\n"
    text = make + "made = make({})\n"
    before = look({"shop/stages.py": HEAD + text.format(2)})
    assert changed(before, look({"shop/stages.py": HEAD + text.format(3)})) == {"stages.made"}


def test_an_edit_is_seen_only_where_the_module_is_loaded_again(look: Look, tmp_path: Path) -> None:
    files = {
        "shop/stages.py": HEAD + dedent(WAYS["from import"]),
        "shop/helpers.py": FACTOR.format(2, 3),
    }
    before = look(files)
    assert not modules.differs_on_disk(before.modules)
    (tmp_path / "shop/helpers.py").write_text(FACTOR.format(7, 3))
    assert changed(before, reached_by(stages[FIT])) == set()
    assert modules.differs_on_disk(before.modules)
    importlib.reload(sys.modules["shop.helpers"])
    assert changed(before, reached_by(stages[FIT])) == {"helpers.factor"}


def test_what_is_a_library_elsewhere_does_not_differ(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "shop/stages.py": HEAD + "import beside\n@stage\ndef fit() -> int:\n    return beside.factor()\n",
        "beside.py": FACTOR.format(2, 3),
    }
    here = look(files)
    monkeypatch.setattr(modules, "_lies_outside", lambda _: False)
    there = look({**files, "beside.py": FACTOR.format(9, 3)})
    assert set(there.definitions) == {FIT}
    assert differing(here.definitions, there.definitions) == ()
    assert differing(there.definitions, here.definitions) == ()


def test_what_has_changed_is_said_by_name() -> None:
    assert in_words(["a.f", FIT], FIT) == "its code and a.f have changed"
    assert in_words(["a.f"], FIT) == "a.f has changed"
    assert in_words([f"a.f{number}" for number in range(9)], FIT).endswith("a.f3 and 5 more have changed")
