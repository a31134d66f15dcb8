import type { TopologyChange } from '@stowage/core'
import { countdown } from '@stowage/core/driver'
import { Deferred, publishTopology } from '@stowage/core/internal'
import type { CommandClient } from '../protocol/command-client.ts'
import type { RedisClient } from '../redis-options.ts'
import type { Connection } from './connection.ts'

/** The members of an ioredis client, for one server or a cluster, that are used here. */
export interface ConnectableClient {
  readonly status: string
  /** Only for a single server. The stream may have ended before the client's status changes. */
  readonly stream?: { readonly writable: boolean }
  connect(): Promise<void>
}

/**
 * A connection that is opened here, and opened again when it is lost. The first call connects. Calls wait for a
 * connection attempt in flight; after a failed attempt they fail at once, until a later attempt succeeds.
 */
export abstract class ReconnectingConnection implements Connection {
  abstract readonly client: RedisClient
  abstract readonly address: string | undefined
  readonly #connectable: ConnectableClient
  readonly #waitMs: number
  readonly #listeners: ((connected: boolean) => void)[] = []
  /** Set by the events of the client; its `status` changes a tick before them. */
  #connected = false
  #hasBeenConnected = false
  /** The connection attempt that calls wait for. */
  #attempt: Deferred<void> | undefined
  /** Why the last attempt failed. */
  #failure: unknown
  #stopped = false
  #cancelWait = () => {}

  /** After a lost connection, calls wait at most `waitMs` for a new one. */
  constructor(client: ConnectableClient, waitMs: number) {
    this.#connectable = client
    this.#waitMs = waitMs
  }

  /** Also connects again if the client has given up. */
  tryConnect(): boolean {
    const { status, stream } = this.#connectable
    if (this.#connected && status === 'ready' && stream?.writable !== false) return true
    const idle = status === 'wait' || status === 'end'
    if (idle && !this.#stopped) this.#connectable.connect().catch(() => {})
    return false
  }

  ready(): Promise<void> | undefined {
    if (this.tryConnect()) return undefined
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    this.#attempt ??= newAttempt()
    return this.#attempt.promise
  }

  abstract begin(isBatched?: boolean): CommandClient

  abstract end(): void

  commandFailed(error: unknown): unknown {
    return error
  }

  onStateChange(listener: (connected: boolean) => void): void {
    this.#listeners.push(listener)
  }

  abstract close(): Promise<void>

  /** Resolves when no call waits for a connection attempt. */
  protected async attemptSettled(): Promise<void> {
    await this.#attempt?.promise.catch(() => {})
  }

  protected stopReconnecting(): void {
    this.#stopped = true
    this.#cancelWait()
  }

  protected markConnected(): void {
    this.#cancelWait()
    this.#connected = true
    this.#publish(this.#hasBeenConnected ? 'reconnected' : 'connected')
    this.#hasBeenConnected = true
    this.#failure = undefined
    this.#attempt?.resolve()
    this.#attempt = undefined
    this.#notify(true)
  }

  /** The connection has closed, or an attempt to connect has failed. */
  protected markClosed(reason: unknown): void {
    const wasConnected = this.#connected
    this.#connected = false
    if (wasConnected) {
      if (!this.#stopped) this.#publish('lost', reason)
      // Failures reported while it was connected do not count: the next attempt decides.
      this.#failure = undefined
      this.#cancelWait = countdown(this.#waitMs, () => this.markFailed(reason))
      this.#notify(false)
    } else this.markFailed(reason)
  }

  protected markFailed(reason: unknown): void {
    this.#cancelWait()
    this.#failure = reason
    this.#attempt?.reject(reason)
    this.#attempt = undefined
  }

  #publish(change: TopologyChange, error?: unknown): void {
    publishTopology({ store: 'redis', change, server: this.address ?? '', error })
  }

  #notify(connected: boolean): void {
    for (const listener of this.#listeners) listener(connected)
  }
}

function newAttempt(): Deferred<void> {
  const attempt = new Deferred<void>()
  // Callers handle the rejection. Without callers it must not terminate the process.
  attempt.promise.catch(() => {})
  return attempt
}
