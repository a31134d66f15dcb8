import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'

/** The moment at which all fixtures are written: epoch milliseconds. */
export const writtenAt = Date.UTC(2026, 0, 1)

/**
 * Replaces the random numbers of this process by fixed ones while `work` runs, so that the same calls store the same bytes.
 *
 * @template T
 * @param {() => Promise<T>} work
 */
export async function withFixedNumbers(work) {
  let next = 0
  const fillIn = (bytes) => {
    for (let index = 0; index < bytes.length; index++) bytes[index] = next++ % 251
    return bytes
  }
  const { randomBytes, randomFillSync } = crypto
  const { getRandomValues } = globalThis.crypto
  const { random } = Math
  Object.assign(crypto, {
    randomBytes: (size) => fillIn(Buffer.alloc(size)),
    randomFillSync: fillIn,
  })
  globalThis.crypto.getRandomValues = fillIn
  Math.random = () => 0.5
  syncBuiltinESMExports()
  try {
    return await work()
  } finally {
    Object.assign(crypto, { randomBytes, randomFillSync })
    globalThis.crypto.getRandomValues = getRandomValues
    Math.random = random
    syncBuiltinESMExports()
  }
}
