import { expect, test } from 'vitest'
import type { Fleet } from '../processes/fleet.mjs'
import { raceInvalidations } from '../races/races.mjs'

const moments = 48

export function invalidationTests(started: () => Fleet): void {
  test('an invalidation at any moment of a load ends the old value for good', async () => {
    // Otherwise the old value has no chance to be written back. On a slow machine, most loads end before an invalidation.
    for (let duringLoad = 0, seed = 1; duringLoad <= moments / 8; seed++) {
      const result = await raceInvalidations(started(), { moments, seed })
      expect(result.wrong).toEqual([])
      duringLoad += result.duringLoad
    }
  })
}
