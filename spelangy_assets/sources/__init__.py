"""The contents of a snapshot: files, manifests, archives, and the turns and texts that came with them.

Put here: reading them. Do not put here: the processing of them in stages.
"""
