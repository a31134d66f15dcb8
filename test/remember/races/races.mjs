import { setTimeout as sleep } from 'node:timers/promises'
import { loadMs, planMoments } from './plan.mjs'

/**
 * @typedef {import('../processes/fleet.mjs').Fleet} Fleet
 * @typedef {import('../processes/worker-process.mjs').WorkerProcess} WorkerProcess
 * @typedef {import('../processes/worker-process.mjs').Outcome} Outcome
 * @typedef {import('./plan.mjs').Moment} Moment
 */

/**
 * @typedef {object} RaceResult
 * @property {number} moments how many were tried
 * @property {number} duringLoad at how many of them a load was running
 * @property {string[]} wrong old values that were read after they had been invalidated, and failed calls
 */

const keysPerMany = 5
/** As many moments are tried at the same time, with different prefixes. */
const concurrency = 8

/**
 * Changes a value at random moments while other processes load it, and reads it afterwards.
 * @param {Fleet} fleet @param {{ moments: number, seed: number }} options @returns {Promise<RaceResult>}
 */
export async function raceInvalidations(fleet, { moments, seed }) {
  const processes = await fleet.processes(4)
  const planned = planMoments(moments, seed)
  const races = planned.map((moment) => new Race(fleet, processes, moment))
  const waiting = [...races]
  const runNext = async () => {
    for (let race = waiting.shift(); race !== undefined; race = waiting.shift()) await race.run()
  }
  await Promise.all(Array.from({ length: concurrency }, runNext))
  for (const race of races) await race.checkReads('at the end')
  return {
    moments,
    duringLoad: races.filter(({ wasDuringLoad }) => wasDuringLoad).length,
    wrong: races.flatMap(({ wrong }) => [...wrong]),
  }
}

class Race {
  /** @type {Set<string>} */
  wrong = new Set()
  wasDuringLoad = false
  #fleet
  #moment
  #prefix
  #keys
  #key
  #tag
  #leader
  #joiner
  #invalidator
  #processes

  /** @param {Fleet} fleet @param {WorkerProcess[]} processes @param {Moment} moment */
  constructor(fleet, processes, moment) {
    this.#fleet = fleet
    this.#moment = moment
    this.#prefix = `race ${moment.id}:`
    this.#tag = `tag ${moment.id}`
    // The origin has no prefixes.
    this.#keys = Array.from({ length: keysPerMany }, (_, index) => `${moment.id}/${index}`)
    this.#key = /** @type {string} */ (this.#keys[2])
    this.#processes = [0, 1, 2, 3].map(
      (index) =>
        /** @type {WorkerProcess} */ (processes[(moment.firstProcess + index) % processes.length]),
    )
    const [leader, joiner, invalidator] = this.#processes
    this.#leader = /** @type {WorkerProcess} */ (leader)
    this.#joiner = /** @type {WorkerProcess} */ (joiner)
    this.#invalidator = /** @type {WorkerProcess} */ (invalidator)
  }

  async run() {
    const { kind, delayMs, hasLateCalls } = this.#moment
    try {
      for (const key of this.#keys) this.#fleet.origin.set(key, 'old')
      if (kind === 'refresh') await this.#makeStale()
      if (kind === 'requested refresh') await this.#storeNew(this.#leader)
      const calls = [this.#call(this.#leader), this.#call(this.#joiner)]
      await sleep(delayMs)
      for (const key of this.#keys) this.#fleet.origin.set(key, 'new')
      await this.#invalidate()
      this.wasDuringLoad = this.#isLoading()
      const lateCalls = hasLateCalls ? this.#checkLateCalls() : undefined
      await this.checkReads('at once')
      await Promise.all(calls.map(async (call) => this.#checkOutcome(await call)))
      await lateCalls
      await this.#fleet.origin.loadsEnded(this.#key)
      await this.checkReads('after the load')
    } catch (error) {
      this.#report(String(error))
    }
  }

  /** Reads the value in all processes. Called again at the very end, when no write can be in flight. @param {string} when */
  async checkReads(when) {
    const reads = this.#processes.map((each) => each.strongGet(this.#key, this.#prefix))
    for (const value of await Promise.all(reads)) {
      const isMissing = value === undefined && this.#moment.operation !== 'set'
      if (value !== 'new' && !isMissing) this.#report(`${when}, ${value} was read`)
    }
  }

  /** Calls that begin after the invalidation, and may join a load that began before. */
  async #checkLateCalls() {
    const { hasLag, canList } = this.#fleet.backend
    // Their reads are not strong.
    if (hasLag || (this.#moment.operation === 'clear' && !canList)) return
    await Promise.all(
      this.#processes.map(async (each) => {
        const outcome = await this.#call(each)
        this.#checkOutcome(outcome)
        if (outcome.value === 'old') this.#report('a later call returned the old value')
      }),
    )
  }

  /** As plain JSON, so that each call stores the same bytes. @param {WorkerProcess} worker */
  async #storeNew(worker) {
    await worker.callOn(this.#prefix, 'set', this.#key, 'new', { ttl: '5m' })
  }

  async #makeStale() {
    await this.#call(this.#leader)
    await this.#leader.callOn(this.#prefix, 'expire', this.#key)
  }

  /** @param {WorkerProcess} worker @returns {Promise<Outcome>} */
  async #call(worker) {
    const { kind, hasLateTags } = this.#moment
    const tags = [this.#tag]
    const request = {
      prefix: this.#prefix,
      options: {
        ttl: '5m',
        ...(hasLateTags ? {} : { tags }),
        ...(kind === 'refresh' && { staleWhileRevalidate: '5m' }),
        ...(kind === 'requested refresh' && { refresh: true }),
      },
      load: { ms: loadMs, ...(hasLateTags && { lateTags: tags }) },
    }
    if (kind === 'rememberMany') {
      const { value, ...outcome } = await worker.rememberMany({ ...request, keys: this.#keys })
      return { value: value?.[this.#keys.indexOf(this.#key)], ...outcome }
    }
    const [outcome] = await worker.remember({ ...request, key: this.#key })
    return /** @type {Outcome} */ (outcome)
  }

  async #invalidate() {
    const { operation } = this.#moment
    const call = (/** @type {unknown[]} */ ...args) =>
      this.#invalidator.callOn(this.#prefix, operation, ...args)
    if (operation === 'clear') await call()
    else if (operation === 'invalidateTags') await call([this.#tag])
    else if (operation === 'set') await this.#storeNew(this.#invalidator)
    else await call(this.#key)
  }

  #isLoading() {
    return this.#fleet.origin.loadsOf(this.#key).some(({ endedAt }) => endedAt === undefined)
  }

  /** @param {Outcome} outcome */
  #checkOutcome({ value, error }) {
    if (error !== undefined) this.#report(`a call failed: ${error.message}`)
    else if (value !== 'old' && value !== 'new') this.#report(`a call returned ${value}`)
  }

  /** @param {string} what */
  #report(what) {
    this.wrong.add(`${this.#moment.title}: ${what}`)
  }
}
