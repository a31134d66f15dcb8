import { channels } from '@stowage/core'
import { machineTime } from '../../remember/processes/machine-time.mjs'

/**
 * What a process has written down in some seconds: how many calls it made, the keys of those calls as [operation, key,
 * version, start, end, phase at the start, phase at the end, error code], and phases as [phase, time, keys in the journal, whether it has overflown].
 * @typedef {[string, string, number, number, number, string, string, string]} LoggedCall
 * @typedef {{ log: LoggedCall[], phases: [string, number, number, boolean][], calls: number, stallMs: number, stoppedMs: number, runningMs: number }} Log
 */

/** Writes down calls of a failover store, and its phases. */
export class CallLog {
  phase = 'primary'
  inFlight = 0
  /** @type {LoggedCall[]} */
  #log = []
  /** @type {Log['phases']} */
  #phases = [['primary', machineTime(), 0, false]]
  #calls = 0

  constructor() {
    channels.failover.subscribe((event) => {
      const { phase, journal, hasOverflown } = /** @type {any} */ (event)
      this.phase = phase
      this.#phases.push([phase, machineTime(), journal, hasOverflown])
    })
  }

  /**
   * Makes a call for one or more keys. The versions are those that it writes. Never rejects.
   * @param {string} operation @param {readonly string[]} keys @param {readonly number[]} versions
   * @param {() => Promise<any>} call
   */
  async record(operation, keys, versions, call) {
    const start = machineTime()
    const { phase } = this
    let result
    let code = ''
    this.#calls++
    this.inFlight++
    try {
      result = await call()
    } catch (error) {
      const { code: given, name, message } = /** @type {any} */ (error)
      code = given ?? `${name}: ${message}`
    }
    this.inFlight--
    const isRead = operation.startsWith('get')
    const values = operation === 'getMany' ? (result ?? []) : [result]
    const end = machineTime()
    for (const [index, key] of keys.entries()) {
      const version = isRead ? (values[index] ?? -1) : (versions[index] ?? 0)
      this.#log.push([operation, key, version, start, end, phase, this.phase, code])
    }
  }

  /** @returns {Omit<Log, "stallMs" | "stoppedMs" | "runningMs">} */
  toJSON() {
    return { log: this.#log, phases: this.#phases, calls: this.#calls }
  }
}
