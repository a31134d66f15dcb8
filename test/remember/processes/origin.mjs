import { waitUntil } from './wait-until.mjs'

/**
 * One execution of a loader. Times are those of `machineTime`.
 * @typedef {object} Load
 * @property {string} process name of the process
 * @property {readonly string[]} keys several for `rememberMany`
 * @property {number} startedAt
 * @property {number | undefined} endedAt
 */

/**
 * The data that the loaders of all processes read, as from a database, and a record of their loads. A load reads its
 * value when it starts.
 */
export class Origin {
  /** @type {Load[]} in the order in which they started */
  loads = []
  /** @type {Map<string, unknown>} */
  #values = new Map()
  /** What the loads of a key wait for. @type {Map<string, Promise<void>>} */
  #held = new Map()

  /** @param {string} key @param {unknown} value */
  set(key, value) {
    this.#values.set(key, value)
  }

  /** @param {string} key */
  get(key) {
    return this.#values.get(key) ?? `value of ${key}`
  }

  /** Holds all loads of this key until the returned function is called. @param {string} key */
  hold(key) {
    let release = () => {}
    const released = new Promise((/** @type {(value: void) => void} */ resolve) => {
      release = resolve
    })
    this.#held.set(key, released)
    return () => {
      this.#held.delete(key)
      release()
    }
  }

  /** Resolves when no load of these keys is held. @param {readonly string[]} keys */
  async released(keys) {
    await Promise.all(keys.map((key) => this.#held.get(key)))
  }

  /** @param {string} key */
  loadsOf(key) {
    return this.loads.filter(({ keys }) => keys.includes(key))
  }

  /** Resolves when loads of this key have started. @param {string} key @param {number} [count] */
  loadStarted(key, count = 1) {
    return waitUntil(`load ${count} of ${key} has started`, () => this.loadsOf(key).length >= count)
  }

  /** Resolves when no load of this key is running. @param {string} key */
  loadsEnded(key) {
    return waitUntil(`all loads of ${key} have ended`, () =>
      this.loadsOf(key).every(({ endedAt }) => endedAt !== undefined),
    )
  }
}
