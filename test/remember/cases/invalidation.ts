import { expect, test } from 'vitest'
import type { Fleet } from '../processes/fleet.mjs'
import { raceInvalidations } from '../races/races.mjs'

const moments = 48

export function invalidationTests(started: () => Fleet): void {
  test('an invalidation at any moment of a load ends the old value for good', async () => {
    const result = await raceInvalidations(started(), { moments, seed: 1 })
    expect(result.wrong).toEqual([])
    // Otherwise the old value had no chance to be written back.
    expect(result.duringLoad).toBeGreaterThan(moments / 8)
  })
}
