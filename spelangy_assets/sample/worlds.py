"""Worlds by their references: the sample world of the package's files, and larger ones that are drawn from its words.

Put here: the meaning of a reference, and the making of a larger world. Do not put here: types and lookups (world.py),
or anything that is rendered. A larger world has the same relations for more entities (a word such as "old" before a
name) and more wordings (more_phrasings.json); its facts are drawn anew. It uses only words of the sample world, so a
model that was trained on the words of the one works for the other.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from functools import cache
from importlib import resources
from typing import Any

from spelangy_assets.sample.world import Entity, Fact, Relation, World, WorldError, load_world, phrasings_of
from spelangy_model.rng import stable_rng


@cache
def open_world(reference: str) -> World:
    """Return the world that a recipe names: the sample world by its digest, another as larger/ENTITIES/SEED/DIGEST.

    Raises WorldError when the installed files give another world than the one that is stated.
    """
    found = load_world()
    if reference.startswith("larger/"):
        _, entities, seed, _ = reference.split("/")
        found = larger_world(int(entities), int(seed))
    if found.digest != reference:
        raise WorldError(
            f"the recipe's sample world is {reference!r}, the installed one is {found.digest!r}: state the installed "
            "one in the recipe"
        )
    return found


@cache
def larger_world(entities: int, seed: int) -> World:
    """Return a world of so many entities, equally many a domain, and as many facts of each as the sample world has.

    The sample world's own names come first, then names with a word before them, drawn by the seed. Values are dealt so
    that each is as frequent as any other of its relation. Raises WorldError for a number of entities that does not
    divide by the domains or that the words do not suffice for.
    """
    base = load_world()
    more = json.loads((resources.files("spelangy_assets.sample") / "more_phrasings.json").read_text("utf-8"))
    chosen = _entities(base, more["modifiers"], entities, seed)
    relations = tuple(_with_more(relation, more["relations"][relation.name]) for relation in base.relations)
    dealt = {}
    for relation in relations:
        rng = stable_rng(seed, "larger world", relation.name)
        places = rng.permutation(entities)
        dealt[relation.name] = [relation.values[int(place) % len(relation.values)] for place in places]
    facts = tuple(
        Fact(entity, relation, dealt[relation.name][number])
        for number, entity in enumerate(chosen)
        for relation in relations
    )
    world = replace(base, entities=chosen, relations=relations, facts=facts, digest="")
    if unknown := set(world.vocabulary) - set(base.vocabulary):
        raise WorldError(f"more_phrasings.json has words that the sample world lacks: {sorted(unknown)}")
    return replace(world, digest=f"larger/{entities}/{seed}/{_digest(world)}")


def _entities(base: World, modifiers: list[str], entities: int, seed: int) -> tuple[Entity, ...]:
    each, rest = divmod(entities, len(base.domains))
    if rest:
        raise WorldError(f"{entities} entities are not equally many for each of {len(base.domains)} domains")
    columns = []
    for domain in base.domains:
        plain = [entity.name for entity in base.entities_of(domain.name)]
        modified = [_modified(modifier, name) for modifier in modifiers for name in plain]
        order = stable_rng(seed, "larger world", "entities", domain.name).permutation(len(modified))
        names = [*plain, *(modified[int(place)] for place in order)]
        if each > len(names):
            raise WorldError(f"the words give {len(names)} names in domain {domain.name!r}, {each} are asked for")
        columns.append([Entity(name, domain.name) for name in names[:each]])
    return tuple(entity for column in columns for entity in column)


def _modified(modifier: str, name: str) -> str:
    bare = name.removeprefix("the ")
    return f"the {modifier} {bare}" if bare != name else f"{modifier.capitalize()} {name}"


def _with_more(relation: Relation, more: dict[str, Any]) -> Relation:
    found = phrasings_of(relation.name, more)
    return replace(relation, **{kind: getattr(relation, kind) + wordings for kind, wordings in found.items()})


def _digest(world: World) -> str:
    contents = asdict(world)
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:16]
