"""The SQL queries on the lineage; docs/lineage.md shows each of them verbatim.

Put here: queries over the tables of lineage.py. Do not put here: those tables. `$artifact` is an id of a version,
`$url` where a recording or a page was published.
"""

ANCESTORS_SQL = """
WITH RECURSIVE above(id, distance) AS (
    SELECT $artifact, 0
    UNION
    SELECT edges.parent, above.distance + 1 FROM edges JOIN above ON edges.child = above.id
)
SELECT artifacts.*, min(distance) AS distance FROM above JOIN artifacts USING (id) GROUP BY ALL ORDER BY distance, id
"""

DESCENDANTS_SQL = """
WITH RECURSIVE below(id, distance) AS (
    SELECT $artifact, 0
    UNION
    SELECT edges.child, below.distance + 1 FROM edges JOIN below ON edges.parent = below.id
)
SELECT artifacts.*, min(distance) AS distance FROM below JOIN artifacts USING (id) GROUP BY ALL ORDER BY distance, id
"""

# Every version above, and of the recordings and pages of the crawls among them those that the training rows above
# really hold (a dataset above every mix holds them all).
SOURCES_SQL = """
WITH RECURSIVE above(id) AS (
    SELECT $artifact
    UNION
    SELECT edges.parent FROM edges JOIN above ON edges.child = above.id
),
drawn AS (
    SELECT DISTINCT span.source_id
    FROM (SELECT unnest(spans) AS span FROM packed_rows WHERE artifact IN (SELECT id FROM above))
)
SELECT crawl.kind, crawl.content_hash, crawl.url, crawl.licence, crawl.source_uri, crawl.artifact
FROM crawl
WHERE crawl.artifact IN (SELECT id FROM above)
  AND (crawl.content_hash IN (SELECT source_id FROM drawn) OR NOT EXISTS (SELECT 1 FROM drawn))
ORDER BY ALL
"""

# The same for one row of a leaderboard: from its own score, not from everything on the board.
CELL_SQL = """
WITH RECURSIVE above(id) AS (
    SELECT edges.parent FROM edges JOIN publications ON publications.artifact = edges.parent
    WHERE edges.child = $artifact AND publications.asset = 'eval_' || $run
    UNION
    SELECT edges.parent FROM edges JOIN above ON edges.child = above.id
),
drawn AS (
    SELECT DISTINCT span.source_id
    FROM (SELECT unnest(spans) AS span FROM packed_rows WHERE artifact IN (SELECT id FROM above))
)
SELECT crawl.kind, crawl.content_hash, crawl.url, crawl.licence, crawl.source_uri, crawl.artifact
FROM crawl
WHERE crawl.artifact IN (SELECT id FROM above) AND crawl.content_hash IN (SELECT source_id FROM drawn)
ORDER BY ALL
"""

# Every training row, and the runs whose weights it went into: those that read so far into their mix, and every run that
# starts from them. A part of a long recording has its URL with #t= after it.
ROWS_OF_URL_SQL = """
WITH RECURSIVE held AS (
    SELECT packed.artifact AS mix, packed.row, span.document_id, span.source, span.epoch, span.length AS positions
    FROM (SELECT artifact, row, unnest(spans) AS span FROM packed_rows) AS packed
    WHERE span.source_id IN (SELECT content_hash FROM crawl WHERE url = $url OR starts_with(url, $url || '#t='))
),
trained AS (
    SELECT edges.parent AS mix, artifacts.id AS run, stats.amount * artifacts.records_in AS rows_read
    FROM edges
    JOIN artifacts ON artifacts.id = edges.child AND artifacts.stage = 'train_lm'
    JOIN stats ON stats.id = artifacts.id AND stats.stat = 'row_epochs'
),
starts(first, run) AS (
    SELECT DISTINCT run, run FROM trained
    UNION
    SELECT starts.first, artifacts.id
    FROM starts JOIN edges ON edges.parent = starts.run
    JOIN artifacts ON artifacts.id = edges.child AND artifacts.stage = 'train_lm'
)
SELECT held.*, coalesce(list(DISTINCT starts.run ORDER BY starts.run) FILTER (starts.run IS NOT NULL), []) AS runs
FROM held
LEFT JOIN trained ON trained.mix = held.mix AND held.row < trained.rows_read
LEFT JOIN starts ON starts.first = trained.run
GROUP BY ALL
ORDER BY ALL
"""

# The models made elsewhere that a dataset depends on, each by the digest of its files.
CHECKPOINTS_SQL = """
WITH RECURSIVE above(id) AS (
    SELECT $artifact
    UNION
    SELECT edges.parent FROM edges JOIN above ON edges.child = above.id
)
SELECT checkpoints.* FROM above JOIN checkpoints ON checkpoints.artifact = above.id ORDER BY ALL
"""

# The versions a dataset depends on that failed their contracts and were accepted by a person.
OVERRULED_SQL = """
WITH RECURSIVE above(id) AS (
    SELECT $artifact
    UNION
    SELECT edges.parent FROM edges JOIN above ON edges.child = above.id
)
SELECT id, overruled FROM above JOIN artifacts USING (id) WHERE overruled <> '' ORDER BY id
"""

# Every version that holds a source, and its descendants: what a takedown affects.
HELD_SQL = """
WITH RECURSIVE below(id, distance) AS (
    SELECT DISTINCT artifact, 0 FROM crawl WHERE url = $url OR starts_with(url, $url || '#t=')
    UNION
    SELECT edges.child, below.distance + 1 FROM edges JOIN below ON edges.parent = below.id
)
SELECT id, min(distance) AS distance, published FROM below JOIN artifacts USING (id)
GROUP BY ALL ORDER BY distance, id
"""

LICENCES_SQL = """
SELECT crawl.licence, crawl.licence_stated_by, crawl.robots, sum(span.length) AS positions,
       count(DISTINCT crawl.content_hash) AS sources
FROM (SELECT unnest(spans) AS span FROM packed_rows WHERE artifact = $artifact) AS packed
JOIN (SELECT content_hash, any_value(licence) AS licence, any_value(licence_stated_by) AS licence_stated_by,
             any_value(robots) AS robots FROM crawl GROUP BY content_hash) AS crawl
  ON crawl.content_hash = span.source_id
GROUP BY ALL ORDER BY positions DESC
"""

COST_SQL = """
WITH RECURSIVE above(id) AS (
    SELECT $artifact
    UNION
    SELECT edges.parent FROM edges JOIN above ON edges.child = above.id
),
hours AS (SELECT id, amount AS hours FROM stats WHERE stat = 'hours_kept')
SELECT stage, count(*) AS versions, sum(seconds) AS seconds, sum(cpu_seconds) AS cpu_seconds, sum(bytes) AS bytes,
       sum(hours) AS audio_hours
FROM above JOIN artifacts USING (id) LEFT JOIN hours USING (id)
GROUP BY ROLLUP (stage) ORDER BY cpu_seconds DESC
"""

# What is published now, stage by stage: how much audio a processor hour yields, and what was dropped.
THROUGHPUT_SQL = """
WITH hours AS (SELECT id, max(amount) AS hours FROM stats WHERE stat IN ('hours_in', 'hours_recognized', 'hours_kept')
               GROUP BY id),
dropped AS (SELECT id, sum(records) AS records FROM drops GROUP BY id)
SELECT stage, count(*) AS versions, sum(cpu_seconds) AS cpu_seconds, sum(hours) AS audio_hours,
       sum(hours) / nullif(sum(cpu_seconds) FILTER (hours IS NOT NULL) / 3600, 0) AS audio_hours_per_cpu_hour,
       sum(records_kept) AS records_kept, coalesce(sum(dropped.records), 0) AS records_dropped, sum(bytes) AS bytes
FROM artifacts LEFT JOIN hours USING (id) LEFT JOIN dropped USING (id)
WHERE published
GROUP BY stage ORDER BY cpu_seconds DESC
"""
