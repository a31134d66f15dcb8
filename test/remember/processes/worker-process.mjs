import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { machineTime } from './machine-time.mjs'

const program = fileURLToPath(new URL('worker.mjs', import.meta.url))
const defaultPrefix = 'app:'

/**
 * The result of one call, and for how long its process ran meanwhile.
 * @typedef {object} Outcome
 * @property {any} [value]
 * @property {{ name: string, code?: string, message: string, retryable?: boolean }} [error]
 * @property {number} ms
 */

/**
 * @typedef {object} LoadPlan
 * @property {number} ms duration
 * @property {boolean} [fails] with an error that contains the id of the process
 * @property {boolean} [returnsNothing] returns `undefined`
 * @property {boolean} [hasBody] the loader stores the value beside one that names it
 * @property {readonly string[]} [lateTags] tags that the loader adds at its end
 * @property {Omit<RememberRequest, 'calls'>} [nested] a call that the loader makes after `ms`
 */

/**
 * @typedef {object} RememberRequest
 * @property {string} [prefix] of the cache
 * @property {string} key
 * @property {Record<string, unknown>} options
 * @property {LoadPlan} load
 * @property {number} [calls] concurrent calls. 1 by default
 */

/**
 * @typedef {object} RememberManyRequest
 * @property {string} [prefix] of the cache
 * @property {readonly string[]} keys
 * @property {Record<string, unknown>} options
 * @property {LoadPlan} load
 */

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A process with a store of its own, on the same backend as others. It is killed when this process exits. */
export class WorkerProcess {
  /** @type {import('node:child_process').ChildProcess} */
  #child
  /** @type {import('./origin.mjs').Origin} */
  #origin
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: unknown) => void }>} */
  #pending = new Map()
  /** @type {Map<number, import('./origin.mjs').Load>} */
  #loads = new Map()
  #requests = 0
  /** @type {Promise<unknown>} */
  #exit
  /** @type {Promise<unknown>} resolves when the process is connected to the backend */
  #ready

  /**
   * @param {import('./backends.mjs').Backend} backend
   * @param {import('./origin.mjs').Origin} origin where its loaders read their values
   * @param {{ clockShiftMs?: number }} [options] by how much the clock of the process is fast
   */
  constructor({ driver, options, env }, origin, { clockShiftMs = 0 } = {}) {
    this.#origin = origin
    const job = JSON.stringify({ driver, options, clockShiftMs })
    this.#child = fork(program, [job], {
      env: { ...process.env, ...env },
      execArgv: [],
      serialization: 'advanced',
    })
    this.#child.on('message', (message) => this.#receive(message))
    this.#ready = new Promise((resolve, reject) => this.#pending.set(0, { resolve, reject }))
    this.#exit = once(this.#child, 'exit')
    this.#exit.then(() => this.#fail())
    running.add(this.#child)
    this.#exit.then(() => running.delete(this.#child))
  }

  get pid() {
    return /** @type {number} */ (this.#child.pid)
  }

  /** Resolves when the process is connected to the backend. */
  async ready() {
    await this.#ready
    return this
  }

  /** Makes concurrent calls of `remember`. @param {RememberRequest} request @returns {Promise<Outcome[]>} */
  remember({ prefix = defaultPrefix, calls = 1, ...request }) {
    return this.#request('remember', { prefix, calls, ...request })
  }

  /** Makes one call of `rememberMany`. @param {RememberManyRequest} request @returns {Promise<Outcome>} */
  rememberMany({ prefix = defaultPrefix, ...request }) {
    return this.#request('rememberMany', { prefix, ...request })
  }

  /** Calls another method of the cache with the prefix. @param {string} method @param {unknown[]} args */
  call(method, ...args) {
    return this.callOn(defaultPrefix, method, ...args)
  }

  /** @param {string} prefix @param {string} method @param {unknown[]} args @returns {Promise<any>} */
  callOn(prefix, method, ...args) {
    return this.#request('call', { prefix, method, args })
  }

  /** Reads what was acknowledged before, from the server that has it. @param {string} key @param {string} [prefix] */
  strongGet(key, prefix = defaultPrefix) {
    return this.callOn(prefix, 'get', key, { consistency: 'strong' })
  }

  /** Resolves when no refresh of the process is in flight any more. */
  refreshed() {
    return this.#request('refreshes', {})
  }

  /** Executes one of the commands about locks and limits. @param {string} name @param {object} request */
  command(name, request) {
    return this.#request(name, { prefix: defaultPrefix, ...request })
  }

  /** @param {NodeJS.Signals} signal */
  kill(signal) {
    this.#child.kill(signal)
  }

  /** Kills the process, also a stopped one. Idempotent. */
  async stop() {
    this.#child.kill('SIGKILL')
    await this.#exit
  }

  /** @param {string} command @param {object} request @returns {Promise<any>} */
  #request(command, request) {
    const id = ++this.#requests
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#child.send({ id, command, ...request }, (error) => error && this.#fail())
    })
  }

  /** @param {any} message */
  #receive(message) {
    if (message.isReady) this.#settle(0, message)
    else if (message.id !== undefined) this.#settle(message.id, message)
    else if (message.keys !== undefined) this.#startLoad(message)
    else this.#endLoad(message)
  }

  /** @param {number} id @param {{ value?: unknown, error?: { message: string } }} reply */
  #settle(id, { value, error }) {
    const call = this.#pending.get(id)
    this.#pending.delete(id)
    if (error === undefined) call?.resolve(value)
    else call?.reject(Object.assign(new Error(error.message), error))
  }

  /** @param {{ load: number, keys: string[], startedAt: number }} message */
  #startLoad({ load: id, keys, startedAt }) {
    const load = { process: `${this.pid}`, keys, startedAt, endedAt: undefined }
    this.#loads.set(id, load)
    this.#origin.loads.push(load)
    const values = keys.map((key) => this.#origin.get(key))
    this.#origin.released(keys).then(() => this.#child.send({ load: id, values }, () => {}))
  }

  /** @param {{ load: number, endedAt: number }} message */
  #endLoad({ load: id, endedAt }) {
    const load = this.#loads.get(id)
    if (load !== undefined) load.endedAt = endedAt
    this.#loads.delete(id)
  }

  /** Rejects all requests of a process that has exited. Its loads have ended. */
  #fail() {
    for (const { reject } of this.#pending.values()) reject(new Error('the process has exited'))
    this.#pending.clear()
    for (const load of this.#loads.values()) load.endedAt = machineTime()
    this.#loads.clear()
  }
}
