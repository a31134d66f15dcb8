import { BaseSequencer } from 'vitest/node'

/**
 * Files that wait much, the longest of each project first. Most are short, so that Vitest would begin them last, and the others
 * would end before them.
 */
const long = [
  'packages/testing/test/broken-stores.test.ts',
  'packages/dynamodb/test/conformance.test.ts',
  'test/readmes.test.ts',
  'packages/postgres/test/outage.test.ts',
  'packages/memcached/test/conformance.test.ts',
  'test/remember/redis.test.ts',
  'packages/testing/test/conformance.test.ts',
  'test/failover/redis.test.ts',
  'packages/postgres/test/conformance.test.ts',
  'test/locks/redis.test.ts',
  'packages/dynamodb/test/outage.test.ts',
  'packages/redis/test/conformance.test.ts',
  'test/sessions/redis.test.ts',
  'packages/redis/test/invalidation/bus.test.ts',
  'packages/postgres/test/postgres-store.test.ts',
  'packages/http-cache/test/private-reads.test.ts',
  'packages/lmdb/test/conformance.test.ts',
  'packages/core/test/failover/settling.test.ts',
  'packages/core/test/short-ttl.test.ts',
  'packages/core/test/memo/memo.test.ts',
  'packages/http-cache/test/long-urls.test.ts',
  'packages/memory/test/conformance.test.ts',
]

/** Begins with the files of each project that take longest. */
export default class LongestFirst extends BaseSequencer {
  async sort(specifications) {
    const sorted = await super.sort(specifications)
    // A worker runs files of one project.
    const projects = [...new Set(sorted.map(({ project }) => project))]
    return sorted.toSorted(
      (a, b) => projects.indexOf(a.project) - projects.indexOf(b.project) || rankOf(a) - rankOf(b),
    )
  }
}

function rankOf({ moduleId }) {
  const rank = long.findIndex((path) => moduleId.endsWith(path))
  return rank === -1 ? long.length : rank
}
