import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Stalls } from '@stowage/test-servers'

/**
 * What a process does with locks and limits at the request of its parent.
 * @param {(prefix: string) => import('@stowage/core').Cache} cacheOf
 */
export function lockCommands(cacheOf) {
  return {
    /**
     * Contends for a lock, and uses the resource of the parent while it holds it. Returns what `useResource` returns, for
     * each time that it held the lock.
     * @param {any} request
     */
    contend: async ({ prefix, name, ttl, contenders, turns, holdMs, port }) => {
      /** @type {Hold[]} */
      const holds = []
      const contend = async () => {
        for (let turn = 0; turn < turns; turn++) {
          const lock = cacheOf(prefix).lock(name, { ttl })
          const use = (/** @type {any} */ held) => useResource(port, name, holdMs, held)
          holds.push(await lock.run(use, { wait: '2m' }))
        }
      }
      await Promise.all(Array.from({ length: contenders }, contend))
      return holds
    },

    /** Consumes single units at the same time. Returns how many were allowed. @param {any} request */
    consume: async ({ prefix, name, options, key, calls }) => {
      const limiter = cacheOf(prefix).rateLimit(name, options)
      const consume = () => limiter.consume(key)
      const results = await Promise.all(Array.from({ length: calls }, consume))
      return results.filter(({ allowed }) => allowed).length
    },

    /** The same, and for how long this process ran meanwhile, in milliseconds. @param {any} request */
    consumeTimed: async ({ prefix, name, options, key, calls }) => {
      const stalls = new Stalls()
      const limiter = cacheOf(prefix).rateLimit(name, options)
      const results = await Promise.all(Array.from({ length: calls }, () => limiter.consume(key)))
      stalls.stop()
      return { allowed: results.filter(({ allowed }) => allowed).length, ms: stalls.runningMs }
    },

    /** @param {any} request */
    peek: async ({ prefix, name, options, key }) => {
      const { remaining, resetAt } = await cacheOf(prefix).rateLimit(name, options).peek(key)
      return { remaining, resetMs: resetAt - Date.now() }
    },

    /** Runs calls in the slots of a concurrency limit. @param {any} request */
    useSlots: async ({ prefix, name, options, calls, holdMs, port }) => {
      const limit = cacheOf(prefix).concurrency(name, options)
      const use = () => limit.run(() => useSlot(port, options.limit, holdMs), { wait: '2m' })
      await Promise.all(Array.from({ length: calls }, use))
    },

    /** Keeps a lock without renewing it. @param {any} request */
    acquire: async ({ prefix, name, ttl }) => {
      const lock = cacheOf(prefix).lock(name, { ttl })
      return { isAcquired: await lock.acquire(), owner: lock.owner }
    },

    /** @param {any} request */
    restored: ({ prefix, name, owner, method }) =>
      /** @type {any} */ (cacheOf(prefix).restoreLock(name, owner))[method](),
  }
}

/**
 * The fencing number of a holder, unless it had lost the lock before, and the longest time for which its process could not
 * run while it held the lock, in milliseconds.
 * @typedef {{ number: number | undefined, stallMs: number }} Hold
 */

/** @param {number} port @param {string} name @param {number} holdMs @param {any} held @returns {Promise<Hold>} */
async function useResource(port, name, holdMs, { signal, fence }) {
  const stalls = new Stalls()
  const resource = await Resource.connect(port)
  let number
  try {
    number = await fence()
    await resource.send({ action: 'enter', name, number })
    for (let step = 0; step < 3 && !signal.aborted; step++) {
      await sleep(holdMs / 3)
      if (!signal.aborted) await resource.send({ action: 'write', name, number })
    }
    await resource.send({ action: 'leave', name, number })
  } catch (error) {
    // A process that was stopped may find its lock lost.
    if (/** @type {any} */ (error).code !== 'ERR_CACHE_LOCKED') throw error
  } finally {
    resource.close()
    stalls.stop()
  }
  return { number, stallMs: stalls.maxMs }
}

/** @param {number} port @param {number} limit @param {number} holdMs */
async function useSlot(port, limit, holdMs) {
  const resource = await Resource.connect(port)
  await resource.send({ action: 'enter slot', limit })
  await sleep(holdMs)
  await resource.send({ action: 'leave slot' })
  resource.close()
}

/** A connection to the resource of the parent. */
class Resource {
  #socket
  #lines

  /** @param {number} port */
  static async connect(port) {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new Resource(socket)
  }

  /** @param {import('node:net').Socket} socket */
  constructor(socket) {
    this.#socket = socket
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]()
  }

  /** Sends a message and waits until it has taken effect. @param {object} message */
  async send(message) {
    this.#socket.write(`${JSON.stringify({ ...message, pid: process.pid })}\n`)
    await this.#lines.next()
  }

  close() {
    this.#socket.destroy()
  }
}
