import { Cache, CacheError } from '@stowage/core'

const keysPerWorker = 12

/** A value that a key may have; `undefined` for none. @typedef {string | undefined} Value */

/** What the load has observed. */
export class Results {
  calls = 0
  slowestMs = 0
  /** Failed calls by operation and message. @type {Map<string, number>} */
  failures = new Map()
  /** @type {string[]} */
  wrongValues = []
  /** @type {unknown[]} errors that are not a CacheError */
  otherErrors = []
}

/**
 * A process with keys of its own in one slot, which no other worker writes. Each read must return the last value that it
 * has written.
 */
export class Worker {
  #cache
  #prefix
  #results
  #n = 0
  /** What each key may contain. A failed write may have been executed. @type {Map<string, Set<Value>>} */
  #expected = new Map()

  /** @param {import('@stowage/core/driver').ByteStore} store @param {string} prefix @param {Results} results */
  constructor(store, prefix, results) {
    this.#cache = new Cache(store, { prefix })
    this.#prefix = prefix
    this.#results = results
    for (let key = 0; key < keysPerWorker; key++) this.#expected.set(`${key}`, new Set([undefined]))
  }

  /** @param {() => boolean} isRunning */
  async run(isRunning) {
    while (isRunning()) await this.#step()
  }

  /** Reads all keys once. Returns whether that succeeded. */
  readAll() {
    return this.#readMany([...this.#expected.keys()])
  }

  #step() {
    const keys = this.#someKeys()
    const [key] = keys
    const value = `${this.#prefix} ${this.#n++}`
    switch (Math.floor(Math.random() * 8)) {
      case 0:
        return this.#write('set', [key], value, () => this.#cache.set(key, value))
      case 1:
        return this.#write('setMany', keys, value, () => this.#setMany(keys, value, {}))
      case 2:
        return this.#write('setMany with ttl', keys, value, () =>
          this.#setMany(keys, value, { ttl: '1h' }),
        )
      case 3:
        return this.#write('deleteMany', keys, undefined, () => this.#cache.deleteMany(keys))
      case 4:
        return Math.random() < 0.2 ? this.#clear() : this.#readMany(keys)
      case 5:
        return this.#call('get', async () => this.#check(key, await this.#cache.get(key)))
      default:
        return this.#readMany(keys)
    }
  }

  /** @param {string[]} keys @param {string} value @param {{ ttl?: '1h' }} options */
  #setMany(keys, value, options) {
    return this.#cache.setMany(
      keys.map((key) => /** @type {const} */ ([key, value])),
      options,
    )
  }

  #clear() {
    return this.#write('clear', [...this.#expected.keys()], undefined, () => this.#cache.clear())
  }

  /** @param {string[]} keys */
  #readMany(keys) {
    return this.#call('getMany', async () => {
      const values = await this.#cache.getMany(keys)
      for (const [index, key] of keys.entries()) this.#check(key, values[index])
    })
  }

  /** @param {string} operation @param {string[]} keys @param {Value} value @param {() => Promise<unknown>} write */
  async #write(operation, keys, value, write) {
    for (const key of keys) this.#expected.get(key)?.add(value)
    if (!(await this.#call(operation, write))) return
    for (const key of keys) this.#expected.set(key, new Set([value]))
  }

  /** @param {string} operation @param {() => Promise<unknown>} call @returns {Promise<boolean>} whether it succeeded */
  async #call(operation, call) {
    const startedAt = performance.now()
    const results = this.#results
    results.calls++
    try {
      await call()
      return true
    } catch (error) {
      const failure = `${operation}: ${/** @type {Error} */ (error).message}`.replace(/\d+/g, '#')
      results.failures.set(failure, (results.failures.get(failure) ?? 0) + 1)
      if (!CacheError.is(error)) results.otherErrors.push(error)
      return false
    } finally {
      results.slowestMs = Math.max(results.slowestMs, performance.now() - startedAt)
    }
  }

  /** @param {string} key @param {unknown} value */
  #check(key, value) {
    const expected = this.#expected.get(key)
    if (expected?.has(/** @type {Value} */ (value))) return
    const text = `${this.#prefix}${key} is ${value} instead of ${[...(expected ?? [])]}`
    this.#results.wrongValues.push(text)
  }

  #someKeys() {
    const keys = [...this.#expected.keys()]
    const [first, ...others] = keys.sort(() => Math.random() - 0.5)
    return [first, ...others.filter(() => Math.random() < 0.4)]
  }
}
