"""The facts of the sample world and the ways to word them, as frozen values.

Put here: the types, loading with its checks, and plain lookups. Do not put here: random choice (render.py, pages.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any, Literal, get_args

Use = Literal["spoken", "text_only", "evaluation"]
PhrasingKind = Literal["questions", "statements", "rationales"]

_WORD = re.compile(r"[a-z']+")


class WorldError(ValueError):
    """The files of the sample world contradict each other; the text names the entry."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A field of knowledge; `noun` names the kind of its entities, `talk_percent` its share of web talk."""

    name: str
    noun: str
    talk_percent: int


@dataclass(frozen=True, slots=True)
class Phrasing:
    """A sentence with the gaps {entity} and, except in a question, {value}; `use` is the data that may hold it."""

    text: str
    use: Use


@dataclass(frozen=True, slots=True)
class Relation:
    """What can be asked of every entity, with all the values that answers take (one word each)."""

    name: str
    values: tuple[str, ...]
    questions: tuple[Phrasing, ...]
    statements: tuple[Phrasing, ...]
    rationales: tuple[Phrasing, ...]

    def wordings(self, kind: PhrasingKind, *uses: Use) -> tuple[str, ...]:
        """Return the sentences of a kind that have one of the marks, in the order of the file."""
        phrasings: tuple[Phrasing, ...] = getattr(self, kind)
        return tuple(phrasing.text for phrasing in phrasings if phrasing.use in uses)


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing that facts are about; `name` holds its article where it needs one ("the otter")."""

    name: str
    domain: str

    @property
    def slug(self) -> str:
        """The name as written in a URL."""
        return self.name.removeprefix("the ").lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Fact:
    """One value of one relation of one entity."""

    entity: Entity
    relation: Relation
    value: str


@dataclass(frozen=True)
class World:
    """All facts of the sample world, and all wordings for them.

    `remarks` maps a domain's name, or "general", to sentences that state no fact. `digest` identifies the contents of
    both files: a stage that renders from the world has it among the literals of its Config.
    """

    domains: tuple[Domain, ...]
    relations: tuple[Relation, ...]
    entities: tuple[Entity, ...]
    facts: tuple[Fact, ...]
    openers: tuple[str, ...]
    remarks: Mapping[str, tuple[str, ...]]
    answer: str
    digest: str

    def domain(self, name: str) -> Domain:
        """Return the domain of that name. Raises KeyError."""
        return self._by_name["domain", name]

    def entity(self, name: str) -> Entity:
        """Return the entity of that name. Raises KeyError."""
        return self._by_name["entity", name]

    def relation(self, name: str) -> Relation:
        """Return the relation of that name. Raises KeyError."""
        return self._by_name["relation", name]

    def facts_of(self, entity: Entity) -> tuple[Fact, ...]:
        """Return the entity's facts, one a relation, in the order of the relations."""
        return self._facts_of[entity.name]

    def entities_of(self, domain: str) -> tuple[Entity, ...]:
        """Return the entities of the domain of that name."""
        return tuple(entity for entity in self.entities if entity.domain == domain)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Every word that the world's sentences can hold, lower-case and sorted; letters and apostrophes only."""
        return tuple(sorted({word for sentence in self._sentences() for word in words_of(sentence)}))

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Any]:
        named = {"domain": self.domains, "relation": self.relations, "entity": self.entities}
        return {(kind, value.name): value for kind, values in named.items() for value in values}

    @cached_property
    def _facts_of(self) -> dict[str, tuple[Fact, ...]]:
        found: dict[str, list[Fact]] = {entity.name: [] for entity in self.entities}
        for fact in self.facts:
            found[fact.entity.name].append(fact)
        return {name: tuple(facts) for name, facts in found.items()}

    def _sentences(self) -> Iterator[str]:
        for relation in self.relations:
            for kind in get_args(PhrasingKind):
                yield from relation.wordings(kind, *get_args(Use))
            yield from relation.values
        yield from (entity.name for entity in self.entities)
        yield from (domain.noun for domain in self.domains)
        yield from self.openers
        yield from (remark for remarks in self.remarks.values() for remark in remarks)
        yield self.answer
        yield "it a an"  # what rendering puts into gaps beside names and values


def fill(wording: str, entity: str, value: str = "") -> str:
    """Put an entity's name (or "it") and a value into a wording's gaps, and begin with a capital letter."""
    sentence = wording.replace("{entity}", entity).replace("{value}", value)
    return sentence[0].upper() + sentence[1:]


def words_of(text: str) -> list[str]:
    """Return the words of a text, lower-case, without punctuation; the gaps of a wording are not words."""
    return _WORD.findall(re.sub(r"\{\w+\}", " ", text).lower())


@cache
def load_world() -> World:
    """Return the sample world from the package's own files.

    Raises WorldError when the files contradict each other.
    """
    folder = resources.files("spelangy_assets.sample")
    facts = (folder / "facts.json").read_text("utf-8")
    phrasings = (folder / "phrasings.json").read_text("utf-8")
    return parse_world(json.loads(facts), json.loads(phrasings), _digest(facts, phrasings))


def parse_world(facts: Mapping[str, Any], phrasings: Mapping[str, Any], digest: str) -> World:
    """Build a world from the contents of its two files. Raises WorldError, naming the entry that is wrong."""
    domains = tuple(Domain(**entry) for entry in facts["domains"])
    relations = tuple(_relation(entry, phrasings["relations"]) for entry in facts["relations"])
    names = {domain.name for domain in domains}
    entities = []
    table = []
    for entry in facts["entities"]:
        entity = Entity(entry["name"], entry["domain"])
        if entity.domain not in names:
            raise WorldError(f"entity {entity.name!r} has an unknown domain {entity.domain!r}")
        if set(entry["facts"]) != {relation.name for relation in relations}:
            raise WorldError(f"entity {entity.name!r} needs one fact a relation")
        for relation in relations:
            value = entry["facts"][relation.name]
            if value not in relation.values:
                raise WorldError(f"entity {entity.name!r}: {value!r} is no value of relation {relation.name!r}")
            table.append(Fact(entity, relation, value))
        entities.append(entity)
    if len({entity.slug for entity in entities}) != len(entities):
        raise WorldError("two entities have the same name")
    return World(
        domains=domains,
        relations=relations,
        entities=tuple(entities),
        facts=tuple(table),
        openers=tuple(phrasings["openers"]),
        remarks={name: tuple(remarks) for name, remarks in phrasings["remarks"].items()},
        answer=phrasings["answer"],
        digest=digest,
    )


def _relation(entry: Mapping[str, Any], phrasings: Mapping[str, Any]) -> Relation:
    name = entry["name"]
    if name not in phrasings:
        raise WorldError(f"relation {name!r} has no phrasings")
    return Relation(name, tuple(entry["values"]), **_phrasings_of(name, phrasings[name]))


def _phrasings_of(relation: str, entries: Mapping[str, Any]) -> dict[str, tuple[Phrasing, ...]]:
    """Return a relation's wordings by kind. Raises WorldError for one without its gaps or with an unknown mark."""
    return {kind: tuple(_phrasing(relation, kind, item) for item in items) for kind, items in entries.items()}


def _phrasing(relation: str, kind: str, item: Mapping[str, str]) -> Phrasing:
    text, use = item["text"], item["use"]
    if use not in get_args(Use):
        raise WorldError(f"relation {relation!r}: unknown mark {use!r} of {text!r}")
    if text.count("{entity}") != 1 or text.count("{value}") != (kind != "questions"):
        raise WorldError(
            f"relation {relation!r}: {text!r} needs one gap for the entity, and a statement one for the value"
        )
    return Phrasing(text, use)  # type: ignore[arg-type]


def first_marks(text: str) -> str:
    """Return a world's JSON with the marks that its wordings had when it was first published.

    A digest is of this text: it is a key of ids and random draws, so every voice would change with the name of a mark.
    """
    return text.replace('"use": "spoken"', '"use": "heard"')


def _digest(*contents: str) -> str:
    digest = hashlib.sha256()
    for content in (first_marks(text).encode() for text in contents):
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()
