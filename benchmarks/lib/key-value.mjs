import assert from 'node:assert/strict'

/** What one operation of each workload is. A contestant that lacks the method is left out. */
const operations = {
  get:
    ({ keys }) =>
    (subject) =>
      subject.get && { size: keys.length, call: (i) => subject.get(keys[i]) },
  set:
    ({ keys, values }) =>
    (subject) =>
      subject.set && { size: keys.length, call: (i) => subject.set(keys[i], values[i]) },
  put:
    ({ keys, values }) =>
    (subject) =>
      subject.put && { size: keys.length, call: (i) => subject.put(keys[i], values[i]) },
  getMany:
    ({ batches }) =>
    (subject) =>
      subject.getMany && { size: batches.length, call: (i) => subject.getMany(batches[i]) },
  rememberHit:
    ({ keys }) =>
    (subject) =>
      subject.remember && {
        size: keys.length,
        call: (i) => subject.remember(keys[i], mustNotLoad),
      },
}

/** `[{ name: 'get', inFlight: 32 }]` → that workload on these data; further members are kept. */
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

/** Stores every value, by both ways of writing, and makes sure that what is measured is right. */
export function fill(...datasets) {
  return async (subject) => {
    for (const { keys, values } of datasets) {
      await Promise.all(keys.map((key, i) => subject.set(key, values[i])))
      for (const [i, key] of keys.entries()) await subject.remember?.(key, () => values[i])
    }
    await checkHits(...datasets)(subject)
  }
}

/** Every read is a hit with the right value; run after the measurements, too, lest something was evicted. */
export function checkHits(...datasets) {
  return async (subject) => {
    for (const data of datasets) await checkEach(subject, data)
  }
}

async function checkEach(subject, { keys, values, batches }) {
  assert.deepEqual(await Promise.all(keys.map((key) => subject.get(key))), values)
  if (subject.remember) {
    const found = await Promise.all(keys.map((key) => subject.remember(key, mustNotLoad)))
    assert.deepEqual(found, values)
  }
  if (subject.getMany) {
    const found = await Promise.all(batches.map((batch) => subject.getMany(batch)))
    assert.deepEqual(found.flat(), values)
  }
}

function mustNotLoad() {
  throw new Error('A hit must not load.')
}
