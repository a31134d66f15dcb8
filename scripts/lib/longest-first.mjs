import { BaseSequencer } from 'vitest/node'

/** Files that wait much. Most are short, so that Vitest would begin them last, and the others would end before them. */
const long = [
  'packages/dynamodb/test/conformance.test.ts',
  'packages/testing/test/broken-stores.test.ts',
  'packages/postgres/test/outage.test.ts',
  'packages/postgres/test/conformance.test.ts',
  'packages/memcached/test/conformance.test.ts',
  'packages/redis/test/conformance.test.ts',
  'test/remember/redis.test.ts',
  'test/sessions/redis.test.ts',
  'test/readmes.test.ts',
]

/** Begins with the files that take longest. */
export default class LongestFirst extends BaseSequencer {
  async sort(specifications) {
    const sorted = await super.sort(specifications)
    const isLong = ({ moduleId }) => long.some((path) => moduleId.endsWith(path))
    return sorted.toSorted((a, b) => Number(isLong(b)) - Number(isLong(a)))
  }
}
