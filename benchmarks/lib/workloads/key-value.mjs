import assert from 'node:assert/strict'

/** The operation of each workload. Without the method, a contestant does not run the workload. */
const operations = {
  get:
    ({ keys }) =>
    (cache) =>
      cache.get && { size: keys.length, call: (i) => cache.get(keys[i]) },
  set:
    ({ keys, values }) =>
    (cache) =>
      cache.set && { size: keys.length, call: (i) => cache.set(keys[i], values[i]) },
  put:
    ({ keys, values }) =>
    (cache) =>
      cache.put && { size: keys.length, call: (i) => cache.put(keys[i], values[i]) },
  getMany:
    ({ batches }) =>
    (cache) =>
      cache.getMany && { size: batches.length, call: (i) => cache.getMany(batches[i]) },
  rememberHit:
    ({ keys }) =>
    (cache) =>
      cache.remember && {
        size: keys.length,
        call: (i) => cache.remember(keys[i], mustNotLoad),
      },
}

/** Workloads on a dataset, from a plan such as `[{ name: 'get', inFlight: 32 }]`. Keeps the other members. */
export function keyValueWorkloads(data, plan) {
  return plan.map((each) => ({
    ...each,
    id: idOf(each, data),
    valueBytes: data.valueBytes,
    bind: operations[each.name](data),
  }))
}

function idOf({ name, inFlight, sameCpu }, { valueBytes }) {
  return `${name} ${valueBytes} B x${inFlight}${sameCpu ? ' same CPU' : ''}`
}

/** Stores every value with `set` and with `remember`, which may store it differently, and checks all reads. */
export function fill(...datasets) {
  return async (cache) => {
    for (const { keys, values } of datasets) {
      await Promise.all(keys.map((key, i) => cache.set(key, values[i])))
      for (const [i, key] of keys.entries()) await cache.remember?.(key, () => values[i])
    }
    await checkHits(...datasets)(cache)
  }
}

/** Checks that every read is a hit with the right value. After the measurements this detects evictions. */
export function checkHits(...datasets) {
  return async (cache) => {
    for (const data of datasets) await checkEach(cache, data)
  }
}

async function checkEach(cache, { keys, values, batches }) {
  assert.deepEqual(await Promise.all(keys.map((key) => cache.get(key))), values)
  if (cache.remember) {
    const found = await Promise.all(keys.map((key) => cache.remember(key, mustNotLoad)))
    assert.deepEqual(found, values)
  }
  if (cache.getMany) {
    const found = await Promise.all(batches.map((batch) => cache.getMany(batch)))
    assert.deepEqual(found.flat(), values)
  }
}

function mustNotLoad() {
  throw new Error('A hit must not call the loader.')
}
