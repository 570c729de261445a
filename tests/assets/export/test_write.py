"""Writing an export: equal bytes after a kill, refusals, the note in the store, and S3-like targets of another file system."""
