import assert from 'node:assert/strict'

/**
 * For each workload: `call(i)` makes one call with the key, value or batch at index `i`, which is less than `size`.
 * `undefined` if the contestant does not have the method. `put` is a `set` without batching.
 */
const operations = {
  get: (contestant, { keys }) =>
    contestant.get && { size: keys.length, call: (i) => contestant.get(keys[i]) },
  set: (contestant, { keys, values }) =>
    contestant.set && { size: keys.length, call: (i) => contestant.set(keys[i], values[i]) },
  put: (contestant, { keys, values }) =>
    contestant.put && { size: keys.length, call: (i) => contestant.put(keys[i], values[i]) },
  getMany: (contestant, { batches }) =>
    contestant.getMany && { size: batches.length, call: (i) => contestant.getMany(batches[i]) },
  rememberHit: (contestant, { keys }) =>
    contestant.remember && {
      size: keys.length,
      call: (i) => contestant.remember(keys[i], mustNotLoad),
    },
}

/**
 * Workloads on a dataset. Each entry of `plan` has the name of an operation and the number of calls in flight, as in
 * `{ name: 'get', inFlight: 32 }`. Its other members, for example targets, are copied to the workload.
 */
export function keyValueWorkloads(dataset, plan) {
  return plan.map((entry) => ({
    ...entry,
    id: idOf(entry, dataset),
    valueBytes: dataset.valueBytes,
    createOperation: (contestant) => operations[entry.name](contestant, dataset),
  }))
}

function idOf({ name, inFlight, sameCpu }, { valueBytes }) {
  return `${name} ${valueBytes} B x${inFlight}${sameCpu ? ' same CPU' : ''}`
}

/**
 * Fills a contestant and checks all reads. Stores every value with both `set` and `remember`, because a contestant
 * may store them differently; or with `fill`, if the contestant has it.
 */
export function fill(...datasets) {
  return async (contestant) => {
    for (const { keys, values } of datasets) {
      const store = contestant.fill ?? contestant.set
      await Promise.all(keys.map((key, i) => store(key, values[i])))
      for (const [i, key] of keys.entries()) await contestant.remember?.(key, () => values[i])
    }
    await checkHits(...datasets)(contestant)
  }
}

/** Checks that every read is a hit with the right value. A failure after the measurements means that keys were evicted. */
export function checkHits(...datasets) {
  return async (contestant) => {
    for (const dataset of datasets) await checkReads(contestant, dataset)
  }
}

async function checkReads(contestant, { keys, values, batches }) {
  assert.deepEqual(await Promise.all(keys.map((key) => contestant.get(key))), values)
  if (contestant.remember) {
    const found = await Promise.all(keys.map((key) => contestant.remember(key, mustNotLoad)))
    assert.deepEqual(found, values)
  }
  if (contestant.getMany) {
    const found = await Promise.all(batches.map((batch) => contestant.getMany(batch)))
    assert.deepEqual(found.flat(), values)
  }
}

function mustNotLoad() {
  throw new Error('A hit must not call the loader.')
}
