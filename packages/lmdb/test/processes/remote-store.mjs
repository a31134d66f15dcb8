import { once } from 'node:events'
import { CacheError } from '@stowage/core'
import { start } from './harness.mjs'

const methods = [
  ...['get', 'getMany', 'set', 'setMany', 'add', 'compareAndSet', 'increment', 'touch'],
  ...['delete', 'deleteMany', 'clear', 'ping', 'close'],
]

/** A process that has stores, and objects that forward their calls to it. */
export class StoreProcess {
  #child = start('store-process.mjs', {}, { serialization: 'advanced' })
  #pending = new Map()
  #calls = 0
  #stores = 0

  constructor() {
    this.#child.on('message', (/** @type {any} */ { id, value, error }) => {
      const { resolve, reject } = this.#pending.get(id)
      this.#pending.delete(id)
      if (error === undefined) resolve(value)
      else reject(new CacheError(error.code, error.message, { store: 'lmdb', ...error }))
    })
  }

  /** A store in the process. @param {object} options @returns {Promise<any>} */
  async create(options) {
    const number = ++this.#stores
    const limits = await this.#call(number, 'create', [options])
    const forward =
      (/** @type {string} */ method) =>
      (/** @type {unknown[]} */ ...args) =>
        this.#call(number, method, args)
    return {
      name: 'lmdb',
      payload: 'bytes',
      limits,
      ...Object.fromEntries(methods.map((method) => [method, forward(method)])),
      scan: (/** @type {string} */ prefix) => this.#scan(number, prefix),
      [Symbol.asyncDispose]: forward('close'),
    }
  }

  async stop() {
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
  }

  /** @param {number} number @param {string} prefix */
  async *#scan(number, prefix) {
    yield* await this.#call(number, 'scan', [prefix])
  }

  /** @param {number} store @param {string} method @param {unknown[]} args @returns {Promise<any>} */
  #call(store, method, args) {
    const id = ++this.#calls
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#child.send({ id, store, method, args })
    })
  }
}
