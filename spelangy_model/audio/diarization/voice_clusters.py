"""Clustering of speaker embeddings into persons.

Put here: clusters of unit vectors. Do not put here: embedding (campplus.py), or turns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_BLOCK = 1000  # agglomerative clustering holds n * n distances: larger sets are clustered block by block


def cluster_centres(embeddings: np.ndarray, threshold: float) -> np.ndarray:
    """Return the unit centres (speakers, d) of the clusters of unit embeddings (n, d), in order of first member.

    Agglomerative clustering with average linkage on cosine distance, cut at `threshold`. More than 1,000 embeddings
    are clustered in consecutive blocks and then the blocks' centres among themselves, which keeps memory constant
    and run time linear; the result is exact up to 1,000.
    """
    if len(embeddings) <= _BLOCK:
        return _centres(embeddings, threshold)
    blocks = [embeddings[at : at + _BLOCK] for at in range(0, len(embeddings), _BLOCK)]
    centres = np.concatenate([_centres(block, threshold) for block in blocks])
    # Without any merge, more rounds would never end: then each centre is a separate speaker.
    return cluster_centres(centres, threshold) if len(centres) < len(embeddings) else centres


def _centres(embeddings: np.ndarray, threshold: float) -> np.ndarray:
    from sklearn.cluster import AgglomerativeClustering

    if len(embeddings) < 2:
        return embeddings
    clustering: Any = AgglomerativeClustering
    options = {"metric": "cosine", "linkage": "average", "distance_threshold": threshold}
    labels = clustering(n_clusters=None, **options).fit_predict(embeddings)
    centres = np.stack([embeddings[labels == label].sum(axis=0) for label in dict.fromkeys(labels.tolist())])
    return centres / np.linalg.norm(centres, axis=1, keepdims=True)
