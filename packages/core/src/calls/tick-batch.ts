import { Deferred } from './deferred.ts'

/** Executes the requests of a turn of the event loop together, each key once. */
export class TickBatch<V> {
  readonly #send: (keys: readonly string[]) => Promise<readonly PromiseSettledResult<V>[]>
  #requests = new Map<string, Deferred<V>>()

  /** @param send resolves to the outcome of each key */
  constructor(send: (keys: readonly string[]) => Promise<readonly PromiseSettledResult<V>[]>) {
    this.#send = send
  }

  /** Requests a key. The request is sent after this call, so its result is never older. */
  get(key: string): Promise<V> {
    if (this.#requests.size === 0) process.nextTick(() => this.#flush())
    let request = this.#requests.get(key)
    if (request === undefined) {
      request = new Deferred()
      this.#requests.set(key, request)
    }
    return request.promise
  }

  async #flush(): Promise<void> {
    const requests = this.#requests
    this.#requests = new Map()
    try {
      const outcomes = await this.#send([...requests.keys()])
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
