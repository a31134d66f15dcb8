// Makes random calls on a store that other processes use as well: fork(random-calls.mjs, ['<job as JSON>']). Sends what
// it has found to its parent.
import { lmdb } from '@stowage/lmdb'
import { selfChecked, verified } from './self-checked.mjs'

const { path, ms, minCalls, maxBytes, seed, inFlight = 8 } = JSON.parse(process.argv[2] ?? '{}')
const store = lmdb({ path, maxBytes, maxValueBytes: '1MiB' })
const deadlineMs = 20_000
let random = seed
let calls = 0
/** @type {Record<string, number>} what this process has added to each counter */
const added = {}
/** @type {string[]} */
const problems = []

/** An integer below `limit`, reproducible for the seed. @param {number} limit */
function below(limit) {
  random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((random / 2 ** 32) * limit)
}

/** @type {(() => Promise<void>)[]} */
const actions = [
  async () => {
    const [key, by] = [`counter:${below(10)}`, below(100) - 40]
    await store.increment(key, by)
    added[key] = (added[key] ?? 0) + by
  },
  async () => {
    const key = `value:${below(50)}`
    await store.set(key, selfChecked(key, below(1_000_000)))
  },
  async () => {
    const key = `short:${below(20)}`
    const ttl = 1 + below(50)
    await store.set(key, selfChecked(key, below(1_000_000), Date.now() + ttl + 5), ttl)
  },
  async () => check(`value:${below(50)}`),
  async () => check(`short:${below(20)}`),
  async () => {
    const keys = Array.from({ length: 5 }, () => `value:${below(50)}`)
    for (const [index, value] of (await store.getMany(keys)).entries()) {
      if (value !== undefined) verified(/** @type {string} */ (keys[index]), value)
    }
  },
  async () => void (await store.delete(`value:${below(50)}`)),
  async () => void (await store.touch(`short:${below(20)}`, 1 + below(20))),
  async () => {
    const keys = Array.from({ length: 3 }, () => `value:${below(50)}`)
    await store.setMany(keys.map((key) => [key, selfChecked(key, below(1_000_000))]))
  },
  underLock,
  compareAndSet,
  async () => {
    if (store.scan === undefined || below(20) > 0) return
    for await (const page of store.scan('value:')) for (const key of page) await check(key)
  },
]

/** Adds to a counter by reading and writing, which only a lock makes exact. */
async function underLock() {
  const token = `${process.pid}:${below(2 ** 30)}`
  if (!(await store.add('lock', token, 60_000))) return
  const value = Number((await store.get('locked')) ?? 0)
  await new Promise((resolve) => setImmediate(resolve))
  await store.set('locked', String(value + 1))
  added.locked = (added.locked ?? 0) + 1
  if (!(await store.compareAndSet('lock', token, undefined))) problems.push('the lock was lost')
}

/** Adds to a register if no other process has changed it since it was read. */
async function compareAndSet() {
  if (await store.add('register', '1')) added.register = (added.register ?? 0) + 1
  const value = await store.get('register')
  if (value === undefined) return void problems.push('the register is missing')
  const isStored = await store.compareAndSet('register', value, String(Number(value) + 1))
  if (isStored) added.register = (added.register ?? 0) + 1
}

/** @param {string} key */
async function check(key) {
  const readAt = Date.now()
  const value = await store.get(key)
  if (value === undefined) return
  const { expiresAt } = verified(key, value)
  if (expiresAt > 0 && readAt > expiresAt + 1_000 && (await isKept(key, value)))
    problems.push(`${key} was served expired`)
}

/**
 * Whether the key keeps its value, which has expired. A process that was stopped within its call may have stored it later
 * than it says, and touches extend its life, by 20 ms each.
 *
 * @param {string} key @param {unknown} value
 */
async function isKept(key, value) {
  for (let reads = 0; reads < 20; reads++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    if (String(await store.get(key)) !== String(value)) return false
  }
  return true
}

async function loop() {
  const end = performance.now() + ms
  while (performance.now() < end || calls < minCalls) {
    if (problems.length > 0) return
    const action = /** @type {() => Promise<void>} */ (actions[below(actions.length)])
    const hang = setTimeout(() => problems.push(`a call hangs: ${action}`), deadlineMs)
    try {
      await action()
      calls++
    } catch (error) {
      problems.push(String(error))
    }
    clearTimeout(hang)
    if (below(50) === 0) await new Promise((resolve) => setImmediate(resolve))
  }
}

await Promise.all(Array.from({ length: inFlight }, loop))
const { rss } = process.memoryUsage()
await store.close()
process.send?.({ added, problems: problems.slice(0, 20), calls, rss })
process.disconnect?.()
