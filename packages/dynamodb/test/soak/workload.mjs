import { isUnreachable } from '@stowage/core/driver'

/** @typedef {import('@stowage/core/driver').ByteStore} Store */

/**
 * @typedef {object} Tally
 * @property {number} succeeded
 * @property {number} failed calls that failed with a retryable CacheError
 * @property {string[]} wrong incorrect results and unexpected errors
 * @property {number} hung calls that were still pending long after their deadline
 * @property {number} slowestMs
 */

/** @returns {Tally} */
export function createTally() {
  return { succeeded: 0, failed: 0, wrong: [], hung: 0, slowestMs: 0 }
}

/** The writes of one worker, which nobody else makes, and therefore all values that may be stored. */
export class Worker {
  /** @type {Map<string, Set<string | undefined>>} values that each key may have */
  #possible = new Map()
  #sure = 0
  #unsure = 0
  #version = 0
  #lock = 0
  #store
  #tally
  #name
  #maxMs

  /**
   * @param {Store} store
   * @param {Tally} tally
   * @param {string} name
   * @param {number} maxMs after which a call counts as hung
   */
  constructor(store, tally, name, maxMs) {
    this.#store = store
    this.#tally = tally
    this.#name = name
    this.#maxMs = maxMs
  }

  /** Calls until the signal aborts. @param {AbortSignal} signal */
  async run(signal) {
    const actions = [
      () => this.#set(),
      () => this.#setMany(),
      () => this.#delete(),
      () => this.#read(),
      () => this.#read(),
      () => this.#readMany(),
      () => this.#increment(),
      () => this.#acquire(),
    ]
    while (!signal.aborted) {
      await actions[Math.floor(Math.random() * actions.length)]?.()
      // Calls that fail at once must not keep the process busy.
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }

  /** Reads everything. */
  async verify() {
    for (const key of this.#possible.keys()) await this.#read(key)
    await this.#increment()
  }

  #key() {
    return `${this.#name}:${Math.floor(Math.random() * 10)}`
  }

  #nextValue() {
    return `${this.#name}/${++this.#version}/${'x'.repeat(Math.random() * 200)}`
  }

  async #set(key = this.#key()) {
    const value = this.#nextValue()
    await this.#write([key], value, () => this.#store.set(key, value, 600_000))
  }

  async #setMany() {
    const keys = [...new Set([this.#key(), this.#key(), this.#key()])]
    const value = this.#nextValue()
    const entries = keys.map((key) => /** @type {const} */ ([key, value]))
    await this.#write(keys, value, () => this.#store.setMany(entries, 600_000))
  }

  async #delete(key = this.#key()) {
    await this.#write([key], undefined, () => this.#store.delete(key))
  }

  /**
   * @param {string[]} keys
   * @param {string | undefined} value
   * @param {() => unknown} call
   */
  async #write(keys, value, call) {
    const { ok, error } = await this.#call(call)
    for (const [index, key] of keys.entries()) {
      const isWritten = ok || error?.outcomes?.[index]?.status === 'fulfilled'
      const others = isWritten ? [] : this.#possibleValues(key)
      this.#possible.set(key, new Set([...others, value]))
    }
  }

  async #read(key = this.#key()) {
    const { ok, result } = await this.#call(() => this.#store.get(key, { consistency: 'strong' }))
    if (ok) this.#check(key, result)
  }

  async #readMany() {
    const keys = [this.#key(), this.#key(), this.#key()]
    const consistency = 'strong'
    const { ok, result } = await this.#call(() => this.#store.getMany(keys, { consistency }))
    if (ok) for (const [index, key] of keys.entries()) this.#check(key, result[index])
  }

  async #increment() {
    const { ok, result } = await this.#call(() => this.#store.increment(`${this.#name}:n`, 1))
    if (!ok) {
      this.#unsure++
      return
    }
    this.#sure++
    const max = this.#sure + this.#unsure
    if (result < this.#sure || result > max)
      this.#tally.wrong.push(`counter ${result}, not ${this.#sure} to ${max}`)
    this.#sure = result
    this.#unsure = 0
  }

  /** Acquires a lock that no other worker has, and releases it. */
  async #acquire() {
    const token = `token ${this.#name} ${++this.#lock}`
    const key = 'lock'
    const acquired = await this.#call(() => this.#store.add(key, token, 600_000))
    if (acquired.ok && !acquired.result) return
    if (acquired.ok) {
      if (Worker.#holder !== undefined)
        this.#tally.wrong.push(`${token} has the lock of ${Worker.#holder}`)
      Worker.#holder = token
      await new Promise((resolve) => setTimeout(resolve, 5))
      Worker.#holder = undefined
    }
    // After a failure the lock may have been acquired all the same.
    for (let attempt = 0; attempt < 100; attempt++) {
      const released = await this.#call(() => this.#store.compareAndSet(key, token, undefined))
      if (released.ok) return
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  /** @type {string | undefined} */
  static #holder

  /** @param {string} key @param {unknown} result */
  #check(key, result) {
    const value = result === undefined ? undefined : String(result)
    const possible = this.#possibleValues(key)
    if (!possible.has(value)) this.#tally.wrong.push(`${key}: ${value?.slice(0, 40)}`)
    // What a strong read has seen is stored, as no other write is in flight.
    this.#possible.set(key, new Set([value]))
  }

  /** @param {string} key @returns {Set<string | undefined>} */
  #possibleValues(key) {
    return this.#possible.get(key) ?? new Set([undefined])
  }

  /**
   * @param {() => any} call
   * @returns {Promise<{ ok: boolean, result?: any, error?: any }>}
   */
  async #call(call) {
    const start = performance.now()
    const timer = setTimeout(() => this.#tally.hung++, this.#maxMs)
    try {
      const result = await call()
      this.#tally.succeeded++
      return { ok: true, result }
    } catch (/** @type {any} */ error) {
      if (isUnreachable(error) || error.retryable === true) this.#tally.failed++
      else this.#tally.wrong.push(String(error?.stack))
      return { ok: false, error }
    } finally {
      clearTimeout(timer)
      this.#tally.slowestMs = Math.max(this.#tally.slowestMs, performance.now() - start)
    }
  }
}
