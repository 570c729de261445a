"""The sample world: an invented set of facts, and everything that the sample recipe renders from it.

Put here: the facts and wordings (`facts.json`, `phrasings.json`), their types (`world.py`), the spoken and written
sentences about them (`render.py`) and the web pages that hold them (`pages.py`). Do not put here: how any of it is
spoken, stored or trained on. Speech, pages, text corpus and benchmark questions come from one table of facts, so that
a model can have learned the answers: a model of two million parameters knows nothing of the real world.

No fact of the sample world is meant to be true. Each wording has a mark:
    spoken      spoken in training speech (conversations, pages that are read aloud), and written in the text corpus
    text_only   written in the text corpus alone
    evaluation  asked in the benchmark alone
"""
