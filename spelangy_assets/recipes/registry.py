"""The known recipes: the package's by name, those of a user's modules, and those of a file.

Put here: looking a recipe up. Do not put here: a recipe. A file is code: it is loaded only where a person names it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from spelangy_assets.execution.dataset import RecipeError
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.settings import Settings

# Where each recipe of the package is defined, by its name. A module is imported when its recipe is asked for.
PACKAGED = {
    "sample": "sample:SAMPLE",
    "paper": "paper:PAPER",
    "miniature": "miniature:MINIATURE",
    "miniature_again": "miniature:MINIATURE_AGAIN",
    "miniature_low": "miniature:MINIATURE_LOW",
    "miniature_factorial": "miniature_sweeps:MINIATURE_FACTORIAL",
    "miniature_quest_shares": "miniature_sweeps:MINIATURE_QUEST_SHARES",
    "miniature_dials": "miniature_sweeps:MINIATURE_DIALS",
    "miniature_bases": "miniature_sweeps:MINIATURE_BASES",
    "miniature_again_bases": "miniature_sweeps:MINIATURE_AGAIN_BASES",
    "tiny": "sample:TINY",
    "tokenizer": "tokenizer:TOKENIZER",
    "posttrain": "posttrain:POSTTRAIN",
    "posttrain_tiny": "posttrain:POSTTRAIN_TINY",
}
_DIGEST = "#sha256="


def own_recipes(modules: Sequence[str]) -> list[Recipe]:
    """Return the recipes of a user's own modules. ValueError for a module that cannot be imported."""
    found = []
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ValueError(
                f"SPELANGY_RECIPE_MODULES names {name!r}, which cannot be imported ({error}): put the folder that "
                "holds it on PYTHONPATH"
            ) from error
        found += [value for value in vars(module).values() if isinstance(value, Recipe)]
    return found


def packaged(name: str) -> Recipe:
    """Return a recipe of the package, by a name in PACKAGED."""
    module, _, variable = PACKAGED[name].partition(":")
    return vars(importlib.import_module(f"spelangy_assets.recipes.{module}"))[variable]


def known_recipes() -> dict[str, Recipe]:
    """Return all recipes by name. ValueError for a name that two of them have."""
    own = _own_by_name()
    return {name: packaged(name) for name in PACKAGED} | own


def _own_by_name() -> dict[str, Recipe]:
    """Return the recipes of the user's modules by name. ValueError for a name that two recipes have."""
    known: dict[str, Recipe] = {}
    for recipe in own_recipes(Settings.from_environment().recipe_modules):
        other = packaged(recipe.name) if recipe.name in PACKAGED else known.setdefault(recipe.name, recipe)
        if other is not recipe:
            raise ValueError(f"two recipes are called {recipe.name!r}: give yours another name")
    return known


def recipe_named(reference: str) -> Recipe:
    """Return a recipe: by its name, or as FILE.py or FILE.py:NAME, which may import modules from files beside it.

    ValueError lists the recipes that exist; RecipeError states in one line what is wrong with a file.
    """
    if ".py" in reference:
        return _from_file(reference)
    own = _own_by_name()
    if reference in PACKAGED:
        return packaged(reference)
    if reference not in own:
        raise ValueError(f"no recipe {reference!r}; there are {', '.join([*PACKAGED, *own])}, or name a file: FILE.py")
    return own[reference]


def text_of(reference: str) -> bytes | None:
    """Return the text of the file that a reference names; None for a recipe by name."""
    place, _, _ = reference.partition(_DIGEST)
    if ".py" not in place:
        return None
    return Path(place if place.endswith(".py") else place.rpartition(":")[0]).read_bytes()


def recipe_sent(reference: str, text: bytes | None) -> Recipe:
    """Return the recipe of another machine's reference; the `text` of its file came with it, and no file beside it."""
    if text is None:
        return recipe_named(reference)
    place, _, digest = reference.partition(_DIGEST)
    if hashlib.sha256(text).hexdigest() != digest:
        raise RecipeError(f"{place}: another text came than the run began with; start it again")
    head, _, name = place.rpartition(":")
    return vars(_executed(Path(head), text, digest))[name]


def _from_file(reference: str) -> Recipe:
    place, _, digest = reference.partition(_DIGEST)
    head, _, name = place.rpartition(":") if not place.endswith(".py") else (place, "", "")
    path = Path(head).absolute()
    if path.stem in sys.stdlib_module_names:
        raise RecipeError(f"{path}: it hides Python's own module {path.stem!r} from a run's processes; rename the file")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: no recipe can be read there ({error.strerror})") from error
    found = hashlib.sha256(text).hexdigest()
    if digest and digest != found:
        raise RecipeError(f"{path} changed since this run began; start it again")
    module = _executed(path, text, found)
    own = {one: value for one, value in vars(module).items() if _is_of(value, path)}
    if name and name not in own:
        raise RecipeError(f"{path}: no recipe is called {name!r} there; it has {', '.join(own) or 'none'}")
    if not name and len(own) != 1:
        raise RecipeError(
            f"{path}: has {len(own)} recipes ({', '.join(own)}); name one: {head}:NAME"
            if own
            else f"{path}: has no recipe; write RECIPE = lab.Recipe(...)"
        )
    name = name or next(iter(own))
    if own[name].name in PACKAGED:
        raise RecipeError(f"{own[name].where}: {own[name].name!r} is the name of a recipe of the package; take another")
    own[name].reference = f"{path}:{name}{_DIGEST}{found}"
    return own[name]


def _is_of(value: object, path: Path) -> bool:
    return isinstance(value, Recipe) and value.where.rpartition(":")[0] == str(path)


def _executed(path: Path, text: bytes, digest: str) -> ModuleType:
    """Return the module of a file, run once a process. RecipeError for whatever it raises, with its line."""
    name = f"spelangy_recipe_{digest[:16]}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    if path.parent.is_dir() and str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # at the end: a file beside it hides no package
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)  # a file that a person named
    except RecipeError:
        del sys.modules[name]
        raise
    except SyntaxError as error:
        del sys.modules[name]
        raise RecipeError(f"{path}:{error.lineno}: {error.msg}") from error
    except Exception as error:
        del sys.modules[name]
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = frames[-1].lineno if frames else "?"
        said = " ".join(str(error).split())
        if isinstance(error, TypeError) and (known := _arguments(text, said, module)):
            said += f"; its arguments are {', '.join(known)}"
        raise RecipeError(f"{path}:{line}: {type(error).__name__}: {said}") from error
    return module


def _arguments(text: bytes, said: str, module: ModuleType) -> list[str]:
    """Return the arguments of the type that a file calls with an unknown one; nothing where it is not found."""
    unknown = re.search(r"unexpected keyword argument '(\w+)'", said)
    for call in ast.walk(ast.parse(text)):
        if isinstance(call, ast.Call) and unknown and unknown[1] in [one.arg for one in call.keywords]:
            head, *rest = ast.unparse(call.func).split(".")
            found = vars(module).get(head)
            for name in rest:
                found = getattr(found, name, None)
            if isinstance(found, type) and unknown[1] not in (known := list(inspect.signature(found).parameters)):
                return known
    return []
