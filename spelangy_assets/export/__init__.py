"""Data and models out of the store: in the forms that others read, with a card, to a folder, S3 or the Hub."""
