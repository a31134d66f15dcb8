import assert from 'node:assert/strict'
import { batches, keys, valueBytes, values } from './dataset.mjs'

/** What one operation of each workload is. A contestant that lacks the method is left out. */
const operations = {
  get: (subject) => subject.get && { size: keys.length, call: (i) => subject.get(keys[i]) },
  set: (subject) =>
    subject.set && { size: keys.length, call: (i) => subject.set(keys[i], values[i]) },
  getMany: (subject) =>
    subject.getMany && { size: batches.length, call: (i) => subject.getMany(batches[i]) },
  rememberHit: (subject) =>
    subject.remember && { size: keys.length, call: (i) => subject.remember(keys[i], mustNotLoad) },
}

/** `{ get: [1, 32] }` → the workloads get with 1 and get with 32 calls in flight. */
export function keyValueWorkloads(inFlightOf) {
  return Object.entries(inFlightOf).flatMap(([name, counts]) =>
    counts.map((inFlight) => ({ name, inFlight, valueBytes, bind: operations[name] })),
  )
}

/** Stores every value, by both ways of writing, and makes sure that what is measured is right. */
export async function fill(subject) {
  await Promise.all(keys.map((key, i) => subject.set(key, values[i])))
  for (const [i, key] of keys.entries()) await subject.remember?.(key, () => values[i])
  await checkHits(subject)
}

/** Every read is a hit with the right value; run after the measurements, too, lest something was evicted. */
export async function checkHits(subject) {
  assert.deepEqual(await Promise.all(keys.map((key) => subject.get(key))), values)
  if (subject.remember) {
    assert.deepEqual(
      await Promise.all(keys.map((key) => subject.remember(key, mustNotLoad))),
      values,
    )
  }
  if (subject.getMany) {
    assert.deepEqual(
      (await Promise.all(batches.map((batch) => subject.getMany(batch)))).flat(),
      values,
    )
  }
}

function mustNotLoad() {
  throw new Error('A hit must not load.')
}
