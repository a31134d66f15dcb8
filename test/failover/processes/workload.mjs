/** Keys that are read and changed one by one, and keys of each group that one call changes together. */
const singleKeys = 200
const groups = 10
const keysPerGroup = 3
const strong = /** @type {const} */ ({ consistency: 'strong' })

/**
 * A key that only this process changes.
 * @typedef {{ key: string, version: number, isBusy: boolean }} OwnKey
 */

/**
 * Calls of one process. Others read its keys, and change keys of their own. The value of a key is the number of its version.
 *
 * - `single` keys are set, deleted, added and touched
 * - `tagged` keys have a tag for each group, which is invalidated
 * - `spaced` keys are in a namespace for each group, which is cleared
 * - `counter` keys are incremented
 */
export class Workload {
  #cache
  #id
  #processes
  #log
  #single
  #tagged
  #spaced

  /**
   * @param {import('@stowage/core').Cache} cache
   * @param {{ id: number, processes: number }} job
   * @param {import('./call-log.mjs').CallLog} log
   */
  constructor(cache, { id, processes }, log) {
    this.#cache = cache
    this.#id = id
    this.#processes = processes
    this.#log = log
    this.#single = this.#ownKeys('single', singleKeys)
    this.#tagged = this.#ownKeys('tagged', groups * keysPerGroup)
    this.#spaced = this.#ownKeys('spaced', groups * keysPerGroup)
  }

  /** Makes a call at random. */
  makeCall() {
    const draw = Math.random()
    if (draw < 0.45) this.#read()
    else if (draw < 0.5) this.#readMany()
    else if (draw < 0.7) this.#set(pick(this.#single))
    else if (draw < 0.75) this.#set(pick(this.#tagged), this.#tagOf)
    else if (draw < 0.8) this.#set(pick(this.#spaced))
    else if (draw < 0.88)
      this.#change('delete', pick(this.#single), (cache, name) => cache.delete(name))
    else if (draw < 0.91) this.#add(pick(this.#single))
    else if (draw < 0.93) this.#setMany()
    else if (draw < 0.97) this.#touch()
    else if (draw < 0.98) this.#increment()
    else this.#endGroup(draw < 0.99 ? this.#tagged : this.#spaced)
  }

  #read() {
    const key = this.#anyKey()
    this.#log.record('get', [key], [0], () =>
      this.#at(key, (cache, name) => cache.get(name, strong)),
    )
  }

  #readMany() {
    const keys = [this.#anyKey('single'), this.#anyKey('tagged')]
    this.#log.record('getMany', keys, [0, 0], () => this.#cache.getMany(keys, strong))
  }

  #touch() {
    const { key } = pick(this.#single)
    this.#log.record('touch', [key], [0], () => this.#cache.touch(key))
  }

  #increment() {
    const key = `${this.#id}:counter:${Math.floor(Math.random() * groups)}`
    this.#log.record('increment', [key], [0], () => this.#cache.increment(key))
  }

  /** @param {OwnKey} own @param {(key: string) => string} [tagOf] */
  #set(own, tagOf) {
    const options = tagOf === undefined ? undefined : { tags: [tagOf(own.key)] }
    const operation = tagOf === undefined ? 'set' : 'set with tags'
    this.#change(operation, own, (cache, name, version) => cache.set(name, version, options))
  }

  /** @param {OwnKey} own */
  #add(own) {
    // Fails if the key exists. It is not known then which version that is.
    this.#change('add', own, (cache, name, version) => cache.add(name, version))
  }

  #setMany() {
    const first = Math.floor(Math.random() * (singleKeys - keysPerGroup))
    const some = this.#single.slice(first, first + keysPerGroup)
    this.#changeAll('setMany', some, () =>
      this.#cache.setMany(some.map(({ key, version }) => /** @type {const} */ ([key, version]))),
    )
  }

  /** Invalidates the tag of a group, or clears its namespace. @param {readonly OwnKey[]} keys */
  #endGroup(keys) {
    const first = Math.floor(Math.random() * groups) * keysPerGroup
    const some = keys.slice(first, first + keysPerGroup)
    const { key } = /** @type {OwnKey} */ (some[0])
    if (keys === this.#tagged) {
      this.#changeAll('invalidateTags', some, () => this.#cache.invalidateTags(this.#tagOf(key)))
    } else this.#changeAll('clear', some, () => this.#at(key, (cache) => cache.clear()))
  }

  /**
   * @param {string} operation
   * @param {OwnKey} own
   * @param {(cache: import('@stowage/core').Cache, name: string, version: number) => Promise<unknown>} call
   */
  #change(operation, own, call) {
    this.#changeAll(operation, [own], () =>
      this.#at(own.key, (cache, name) => call(cache, name, own.version)),
    )
  }

  /**
   * Makes a call that changes some keys, unless another one is in flight for one of them: a read follows then.
   * @param {string} operation @param {readonly OwnKey[]} some @param {() => Promise<unknown>} call
   */
  #changeAll(operation, some, call) {
    if (some.some(({ isBusy }) => isBusy)) return this.#read()
    for (const own of some) {
      own.isBusy = true
      own.version++
    }
    const keys = some.map(({ key }) => key)
    const versions = some.map(({ version }) => version)
    this.#log.record(operation, keys, versions, call).then(() => {
      for (const own of some) own.isBusy = false
    })
  }

  /** @param {string} kind @param {number} count @returns {OwnKey[]} */
  #ownKeys(kind, count) {
    return Array.from({ length: count }, (_, index) => ({
      key: `${this.#id}:${kind}:${index}`,
      version: 0,
      isBusy: false,
    }))
  }

  /** A key of any process. @param {string} [kind] */
  #anyKey(kind = pick(['single', 'single', 'tagged', 'spaced'])) {
    const count = kind === 'single' ? singleKeys : groups * keysPerGroup
    return `${Math.floor(Math.random() * this.#processes)}:${kind}:${Math.floor(Math.random() * count)}`
  }

  /** @param {string} key */
  #tagOf = (key) => `tag:${groupOf(key)}`

  /**
   * Calls the cache that has the key, and with its name in there.
   * @template T
   * @param {string} key @param {(cache: import('@stowage/core').Cache, name: string) => T} call
   */
  #at(key, call) {
    return call(
      key.includes('spaced') ? this.#cache.namespace(`space:${groupOf(key)}`) : this.#cache,
      key,
    )
  }
}

/** @param {string} key */
function groupOf(key) {
  const [owner, , index] = key.split(':')
  return `${owner}:${Math.floor(Number(index) / keysPerGroup)}`
}

/** @template T @param {readonly T[]} values */
function pick(values) {
  return /** @type {T} */ (values[Math.floor(Math.random() * values.length)])
}
