import type { InvalidationListener } from '@stowage/core'
import { Lifecycle } from '@stowage/core/driver'
import { BusListeners } from '@stowage/core/internal'
import type { Redis } from 'ioredis'
import type { ManagedConnection } from '../connection/managed-connection.ts'
import { sendCommand, waitUntilReady } from './bus-connections.ts'

/** A dead connection looks like one without messages, so a heartbeat is sent at this interval. */
const heartbeatMs = 1_000

/** Sends the commands that subscribe a new connection. */
type SubscribeCommand = (client: Redis) => Promise<unknown>

/** Subscriptions to all servers that announce changes, and the listeners of the application. */
export class SubscriptionGroup {
  readonly #subscriptions: readonly Subscription[]
  readonly #listeners = new BusListeners()
  readonly #lifecycle: Lifecycle
  #active = false

  constructor(
    name: string,
    connections: readonly ManagedConnection[],
    command: SubscribeCommand,
    onMessage: (message: unknown) => void,
  ) {
    this.#lifecycle = new Lifecycle(name)
    for (const { client } of connections)
      client.on('messageBuffer', (_: Buffer, message: unknown) => onMessage(message))
    this.#subscriptions = connections.map(
      (connection) => new Subscription(connection, command, () => this.#onStateChange()),
    )
  }

  /** Whether all servers are subscribed to. */
  get active(): boolean {
    return this.#active
  }

  assertOpen(operation: string): void {
    this.#lifecycle.assertOpen(operation)
  }

  async subscribe(listener: InvalidationListener): Promise<() => void> {
    this.assertOpen('subscribe')
    const unsubscribe = this.#listeners.add(listener)
    try {
      await Promise.all(this.#subscriptions.map((subscription) => subscription.open()))
      this.assertOpen('subscribe')
    } catch (error) {
      unsubscribe()
      throw error
    }
    return unsubscribe
  }

  /** Passes changed keys to all listeners; `undefined` if any key may have changed. */
  notify(keys: readonly string[] | undefined): void {
    this.#listeners.notify(keys)
  }

  /** Runs `before` first, while the subscriptions are still open. */
  close(before?: () => Promise<unknown>): Promise<void> {
    return this.#lifecycle.close(async () => {
      await before?.()
      await Promise.all(this.#subscriptions.map((subscription) => subscription.close()))
      this.#listeners.clear()
    })
  }

  #onStateChange(): void {
    this.#active = this.#subscriptions.every(({ active }) => active)
    this.notify(undefined)
  }
}

/** The subscription to one server. Restored after each reconnect. */
class Subscription {
  readonly #connection: ManagedConnection
  readonly #command: SubscribeCommand
  /** Called after each change of `active`. */
  readonly #onStateChange: () => void
  #heartbeat: NodeJS.Timeout | undefined
  #attempt: Promise<void> | undefined
  active = false

  constructor(connection: ManagedConnection, command: SubscribeCommand, onStateChange: () => void) {
    this.#connection = connection
    this.#command = command
    this.#onStateChange = onStateChange
    connection.onStateChange((connected) =>
      connected ? this.#onConnected() : this.#onDisconnected(),
    )
  }

  /** Resolves when the server has accepted the subscription. */
  async open(): Promise<void> {
    await waitUntilReady(this.#connection, 'subscribe')
    await this.#subscribe()
  }

  async close(): Promise<void> {
    await this.#connection.close()
    this.#onDisconnected()
  }

  #onConnected(): void {
    this.#heartbeat ??= setInterval(() => this.#sendHeartbeat(), heartbeatMs).unref()
    this.#subscribe().catch(() => {})
  }

  #onDisconnected(): void {
    clearInterval(this.#heartbeat)
    this.#heartbeat = undefined
    this.#attempt = undefined
    if (!this.active) return
    this.active = false
    this.#onStateChange()
  }

  /** Without a reply the watchdog closes the connection. A rejected subscription is retried: permissions change. */
  #sendHeartbeat(): void {
    const reply = this.active
      ? sendCommand(this.#connection, 'subscribe', (client) => client.ping())
      : this.#subscribe()
    reply.catch(() => {})
  }

  #subscribe(): Promise<void> {
    this.#attempt ??= this.#sendSubscribe()
    return this.#attempt
  }

  async #sendSubscribe(): Promise<void> {
    try {
      await sendCommand(this.#connection, 'subscribe', this.#command)
    } catch (error) {
      this.#attempt = undefined
      throw error
    }
    this.active = true
    this.#onStateChange()
  }
}
