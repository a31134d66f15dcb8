import assert from 'node:assert/strict'
import { users } from './dataset.mjs'

export const windowMs = 3_600_000

const { keys, values, batches } = users
const inputs = { get: keys, getMany: batches, increment: keys }

/** Each entry has the name of a library, of an operation, the number of calls in flight, and targets. */
export function bridgeWorkloads(plan) {
  return plan.map(({ library, operation, inFlight, ...targets }) => ({
    ...targets,
    id: `${library} ${operation} x${inFlight}`,
    name: operation,
    inFlight,
    valueBytes: operation === 'increment' ? 0 : users.valueBytes,
    createOperation: (contestant) => ({
      size: inputs[operation].length,
      call: (i) => contestant[library][operation](inputs[operation][i]),
    }),
  }))
}

/** Fills the caches of a contestant, and checks all reads. */
export async function fillBridges(contestant) {
  for (const { set } of cachesOf(contestant)) {
    await Promise.all(keys.map((key, i) => set(key, values[i])))
  }
  await checkBridges(contestant)
}

/** Checks that every read is a hit with the right value, and that hits are counted. */
export async function checkBridges(contestant) {
  for (const { get, getMany } of cachesOf(contestant)) {
    assert.deepEqual(await Promise.all(keys.map(get)), values)
    if (getMany) assert.deepEqual((await Promise.all(batches.map(getMany))).flat(), values)
  }
  const { getMany: readTexts } = contestant['unstorage driver']
  const texts = (await Promise.all(batches.map(readTexts))).flat()
  assert.deepEqual(
    texts.map((text) => JSON.parse(text)),
    values,
  )
  const { increment } = contestant['express-rate-limit']
  const before = await increment(keys[0])
  assert.equal(await increment(keys[0]), before + 1)
}

function cachesOf(contestant) {
  return Object.values(contestant).filter((library) => library.set)
}
