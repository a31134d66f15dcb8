import type { CallEvent } from '../channels.ts'
import { areCallersKnown, joinCallers, runForCallers } from '../tracing/requests.ts'
import { Deferred } from './deferred.ts'

/** Executes the requests of one callback of the event loop together, each key once. */
export class TickBatch<V> {
  readonly #send: (keys: readonly string[]) => Promise<readonly PromiseSettledResult<V>[]>
  #requests = new Map<string, Deferred<V>>()
  #callers: readonly CallEvent[] | undefined

  /** @param send resolves to the outcome of each key */
  constructor(send: (keys: readonly string[]) => Promise<readonly PromiseSettledResult<V>[]>) {
    this.#send = send
  }

  /** Requests a key. The request is sent after this call, so its result is never older. */
  get(key: string): Promise<V> {
    if (this.#requests.size === 0) process.nextTick(() => this.#flush())
    if (areCallersKnown()) this.#callers = joinCallers(this.#callers)
    let request = this.#requests.get(key)
    if (request === undefined) {
      request = new Deferred()
      this.#requests.set(key, request)
    }
    return request.promise
  }

  async #flush(): Promise<void> {
    const requests = this.#requests
    const callers = this.#callers
    this.#requests = new Map()
    this.#callers = undefined
    try {
      const send = () => this.#send([...requests.keys()])
      const outcomes = await (callers === undefined ? send() : runForCallers(callers, send))
      let index = 0
      for (const request of requests.values()) settle(request, outcomes[index++])
    } catch (error) {
      for (const request of requests.values()) request.reject(error)
    }
  }
}

function settle<V>(request: Deferred<V>, outcome: PromiseSettledResult<V> | undefined): void {
  if (outcome?.status === 'fulfilled') request.resolve(outcome.value)
  else request.reject(outcome?.reason)
}

/** The outcome of a call that has succeeded. */
export function fulfilled<V>(value: V): PromiseFulfilledResult<V> {
  return { status: 'fulfilled', value }
}
