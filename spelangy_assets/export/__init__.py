"""Exports of datasets and models: in the formats of other tools, with a card, to a folder, S3 or the Hub."""
