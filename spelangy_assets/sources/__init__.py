"""What lies in a snapshot: files, manifests, archives, the turns and texts that somebody gave with them.

Put here: reading it. Do not put here: what a stage makes of it.
"""
