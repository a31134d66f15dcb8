import { countdown } from '@stowage/core/driver'

/** What is used of a client here, be it of one server or of a cluster. */
export interface Connecting {
  readonly status: string
  /** Of one server's client. It may be over before the client knows. */
  readonly stream?: { readonly writable: boolean }
  connect(): Promise<void>
}

/**
 * Whether commands can be sent, and what to do with those that come before. The first call connects. Calls wait for an
 * attempt under way, and fail at once after one has failed, until a later one succeeds.
 */
export class Readiness {
  readonly #client: Connecting
  readonly #patienceMs: number
  readonly #listeners: ((up: boolean) => void)[] = []
  /** Between the events of a connection's beginning and end; the client's own status is a tick ahead of them. */
  #up = false
  /** What calls wait for while an attempt decides. */
  #attempt: Attempt | undefined
  /** Why there is no connection, once an attempt has failed. */
  #failure: unknown
  #over = false
  #stopWaiting = () => {}

  /** Calls wait for a lost connection for `patienceMs` at most. */
  constructor(client: Connecting, patienceMs: number) {
    this.#client = client
    this.#patienceMs = patienceMs
  }

  /** Whether commands can be sent now. Begins to connect where that has not been tried, or was given up by the client. */
  wake(): boolean {
    const { status, stream } = this.#client
    if (this.#up && status === 'ready' && stream?.writable !== false) return true
    const idle = status === 'wait' || status === 'end'
    if (idle && !this.#over) this.#client.connect().catch(() => {})
    return false
  }

  ready(): Promise<void> | undefined {
    if (this.wake()) return undefined
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    this.#attempt ??= new Attempt()
    return this.#attempt.promise
  }

  /** Resolves when no call waits for an attempt any more. */
  async decided(): Promise<void> {
    await this.#attempt?.promise.catch(() => {})
  }

  /** From now on nothing connects again. */
  end(): void {
    this.#over = true
    this.#stopWaiting()
  }

  onChange(listener: (up: boolean) => void): void {
    this.#listeners.push(listener)
  }

  succeeded(): void {
    this.#stopWaiting()
    this.#up = true
    this.#failure = undefined
    this.#attempt?.succeed()
    this.#attempt = undefined
    this.#tell(true)
  }

  /** The connection has ended, or has not come about. */
  closed(reason: unknown): void {
    const wasUp = this.#up
    this.#up = false
    if (wasUp) {
      // It has not failed yet, whatever was said while it was up: the next attempt decides.
      this.#failure = undefined
      this.#stopWaiting = countdown(this.#patienceMs, () => this.failed(reason))
      this.#tell(false)
    } else this.failed(reason)
  }

  failed(reason: unknown): void {
    this.#stopWaiting()
    this.#failure = reason
    this.#attempt?.fail(reason)
    this.#attempt = undefined
  }

  #tell(up: boolean): void {
    for (const listener of this.#listeners) listener(up)
  }
}

/** An attempt to connect that several calls wait for. */
class Attempt {
  readonly promise: Promise<void>
  succeed!: () => void
  fail!: (reason: unknown) => void

  constructor() {
    this.promise = new Promise<void>((resolve, reject) => {
      this.succeed = resolve
      this.fail = reject
    })
    // Whoever waits handles it; when nobody does any more, it must not end the process.
    this.promise.catch(() => {})
  }
}
