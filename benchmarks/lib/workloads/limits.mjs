import assert from 'node:assert/strict'

/** Never reached, because a call that is denied may cost something else. */
export const limit = 1_000_000_000
export const windowMs = 3_600_000
export const lockMs = 30_000

const keys = Array.from({ length: 1_000 }, (_, index) => `client:${index}`)

/**
 * `consume` counts one unit of a key, and `lock` acquires a lock and releases it. Each entry has the name of an operation,
 * the number of calls in flight, and targets.
 */
export function limitWorkloads(plan) {
  return plan.map(({ name, inFlight, ...targets }) => ({
    ...targets,
    id: `${name} x${inFlight}`,
    name,
    inFlight,
    valueBytes: 0,
    createOperation: (contestant) => ({
      size: keys.length,
      call: (i) => contestant[name](keys[i], 'owner'),
    }),
  }))
}

/** Checks that units are allowed, and that a free lock is acquired. */
export async function checkLimits(contestant) {
  for (const key of keys) assert.equal(await contestant.consume(key), true)
  assert.equal(await contestant.lock('lock', 'owner'), true)
}
