import { seeded } from './seeded.mjs'

export const loadMs = 80
const kinds = /** @type {const} */ (['load', 'refresh', 'requested refresh', 'rememberMany'])
const operations = /** @type {const} */ (['delete', 'set', 'clear', 'invalidateTags'])

/**
 * One moment at which a value is invalidated.
 * @typedef {object} Moment
 * @property {string} title
 * @property {string} id unique
 * @property {typeof kinds[number]} kind what runs meanwhile
 * @property {typeof operations[number]} operation
 * @property {number} delayMs from the start of the calls to the operation
 * @property {boolean} hasLateTags whether the loader adds the tag at its end
 * @property {boolean} hasLateCalls whether further calls are made after the operation
 * @property {number} firstProcess index of the process that begins
 */

/** Every kind meets every operation equally often. @param {number} count @param {number} seed @returns {Moment[]} */
export function planMoments(count, seed) {
  const random = seeded(seed)
  return Array.from({ length: count }, (_, index) => {
    const kind = kinds[index % kinds.length] ?? 'load'
    const operation = operations[Math.floor(index / kinds.length) % operations.length] ?? 'delete'
    const delayMs = Math.round(random() * loadMs * 1.2)
    const hasLateTags = random() < 0.5
    const hasLateCalls = random() < 0.5
    const firstProcess = Math.floor(random() * 4)
    const tags = hasLateTags ? 'late tags' : 'tags'
    return {
      title: `moment ${index} of seed ${seed}: ${kind} with ${tags}, ${operation} after ${delayMs} ms`,
      id: `${seed}/${index}`,
      ...{ kind, operation, delayMs, hasLateTags, hasLateCalls, firstProcess },
    }
  })
}
