import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@stowage/core'
import { random } from './random.mjs'

/** Of a write and a read of one key after the faults. */
const maxAttempts = 20

export const keyCount = 50
const keys = Array.from({ length: keyCount }, (_, index) => `key:${index}`)
const hangTimeoutMs = 5_000

/** @typedef {import('./fuzz-store.mjs').Store} Store */

/**
 * Outcomes of the calls of all workers.
 * @typedef {object} Tally
 * @property {number} succeeded
 * @property {number} failed
 * @property {string[]} wrong
 * @property {number} hung
 * @property {{ sent: number, succeeded: number, sums: Set<number> }} increments a failed increment may have been executed
 */

/** @returns {Tally} */
export function createTally() {
  return {
    succeeded: 0,
    failed: 0,
    wrong: [],
    hung: 0,
    increments: { sent: 0, succeeded: 0, sums: new Set() },
  }
}

/**
 * Sends random calls, a few at a time, and records their outcomes.
 * @param {Store} store @param {Tally} tally @param {AbortSignal} signal
 */
export async function runWorker(store, tally, signal) {
  while (!signal.aborted) {
    const calls = Array.from({ length: 1 + random(5) }, () => randomCall(store, tally))
    await Promise.all(calls.map((call) => record(call, tally)))
    await sleep(0)
  }
}

/** Writes and reads each key. Resolves to the number of keys that had the value written. @param {Store} store */
export async function countCorrectKeys(store) {
  const correct = await Promise.all(keys.map((key) => keepsValue(store, key)))
  return correct.filter(Boolean).length
}

/**
 * @param {Store} store @param {Tally} tally
 * @returns {Promise<string | undefined>} describes an incorrect result
 */
async function randomCall(store, tally) {
  const key = keys[random(keys.length)]
  const kind = random(10)
  if (kind < 4) return mismatch(key, await store.get(key))
  if (kind < 7) return void (await store.set(key, valueFor(key), 60_000))
  if (kind < 8) return getManyMismatch(store)
  if (kind < 9) return incrementMismatch(store, tally)
  await store.delete(key)
  return undefined
}

/** @param {Store} store */
async function getManyMismatch(store) {
  const some = keys.slice(random(40)).slice(0, 10)
  const values = await store.getMany(some)
  return some.map((key, index) => mismatch(key, values[index])).find(Boolean)
}

/** @param {Store} store @param {Tally} tally */
async function incrementMismatch(store, { increments }) {
  // Replies that arrive together may be delivered in another order, so only earlier results are certain to be smaller.
  const { succeeded } = increments
  increments.sent++
  const sum = await store.increment('counter', 1)
  increments.succeeded++
  const isPossible = sum > succeeded && sum <= increments.sent && !increments.sums.has(sum)
  increments.sums.add(sum)
  return isPossible ? undefined : `the counter is ${sum}`
}

/** @param {Promise<string | undefined>} call @param {Tally} tally */
async function record(call, tally) {
  const timeout = sleep(hangTimeoutMs, 'hung', { ref: false })
  try {
    const outcome = await Promise.race([call, timeout])
    if (outcome === 'hung') tally.hung++
    else if (outcome === undefined) tally.succeeded++
    else tally.wrong.push(outcome)
  } catch (error) {
    if (CacheError.is(error) && error.retryable) tally.failed++
    else tally.wrong.push(String(error))
  }
}

/** Text or bytes, of different sizes. @param {string} key */
function valueFor(key) {
  const length = random(10) === 0 ? random(100_000) : random(200)
  const text = `${key}|${'x'.repeat(length)}|${key}`
  return random(4) === 0 ? Buffer.from(text) : text
}

/** @param {string} key @param {unknown} value @returns {string | undefined} */
function mismatch(key, value) {
  if (value === undefined) return undefined
  const text = String(value)
  const isOwn = text.startsWith(`${key}|`) && text.endsWith(`|${key}`)
  return isOwn ? undefined : `${key} has ${text.slice(0, 40)}`
}

/** @param {Store} store @param {string} key */
async function keepsValue(store, key) {
  for (let attempt = 1; attempt <= maxAttempts; attempt++) {
    try {
      await store.set(key, valueFor(key))
      const value = await store.get(key)
      return value !== undefined && mismatch(key, value) === undefined
    } catch {
      // A machine that is busy may not reply within the short deadline.
    }
  }
  return false
}
