"""Worlds by their references: the sample world of the package's files, and larger ones.

Put here: the meaning of a reference, and the making of a larger world. Do not put here: types and lookups (world.py),
or anything that is rendered. A larger world has the relations and wordings of the sample world, more entities
(more_names.json) and facts that are drawn anew. No name is made of others: one name teaches nothing of another,
so entities are independent clusters of questions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from importlib import resources

from spelangy_assets.sample.world import Entity, Fact, World, WorldError, first_marks, load_world
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

    The sample world's own names come first, then others, drawn by the seed. Values are dealt so that each is as
    frequent as any other of its relation. Raises WorldError for a number of entities that does not divide by the
    domains or that there are not enough names for.
    """
    base = load_world()
    more = json.loads((resources.files("spelangy_assets.sample") / "more_names.json").read_text("utf-8"))
    chosen = _entities(base, more, entities, seed)
    dealt = {}
    for relation in base.relations:
        rng = stable_rng(seed, "larger world", relation.name)
        places = rng.permutation(entities)
        dealt[relation.name] = [relation.values[int(place) % len(relation.values)] for place in places]
    facts = tuple(
        Fact(entity, relation, dealt[relation.name][number])
        for number, entity in enumerate(chosen)
        for relation in base.relations
    )
    world = replace(base, entities=chosen, facts=facts, digest="")
    return replace(world, digest=f"larger/{entities}/{seed}/{_digest(world)}")


def _entities(base: World, more: Mapping[str, Sequence[str]], entities: int, seed: int) -> tuple[Entity, ...]:
    each, rest = divmod(entities, len(base.domains))
    if rest:
        raise WorldError(f"{entities} entities are not equally many for each of {len(base.domains)} domains")
    chosen = []
    for domain in base.domains:
        others = more[domain.name]
        order = stable_rng(seed, "larger world", "entities", domain.name).permutation(len(others))
        names = [entity.name for entity in base.entities_of(domain.name)] + [others[int(place)] for place in order]
        if each > len(names):
            raise WorldError(f"there are {len(names)} names in domain {domain.name!r}, {each} are asked for")
        chosen += [Entity(name, domain.name) for name in names[:each]]
    return tuple(chosen)


def _digest(world: World) -> str:
    contents = json.dumps(asdict(world), sort_keys=True)
    return hashlib.sha256(first_marks(contents).encode()).hexdigest()[:16]
