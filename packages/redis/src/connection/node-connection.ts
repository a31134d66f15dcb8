import { DeadlineError, type InFlight, Watchdog } from '@stowage/core/driver'
import type { Redis } from 'ioredis'
import { InjectedConnection } from './connection.ts'

/**
 * A connection of a cluster client to one node. It bypasses the client's routing: the node rejects keys of slots that
 * it does not serve.
 */
export class NodeConnection extends InjectedConnection {
  readonly #listeners: ((connected: boolean) => void)[] = []
  #node: Redis

  constructor(node: Redis, inFlight: InFlight) {
    super(node, inFlight)
    this.#node = node
  }

  get node(): Redis {
    return this.#node
  }

  /** The cluster client drops a node that it cannot reach, and creates another client for it later. */
  set node(node: Redis) {
    if (node === this.#node) return
    this.#node = node
    this.#notify(node, false)
    if (this.#listeners.length > 0) this.#listenTo(node)
    if (node.status === 'ready') this.#notify(node, true)
  }

  override get client(): Redis {
    return this.#node
  }

  override tryConnect(): boolean {
    if (this.#node.status === 'wait') this.#node.connect().catch(() => {})
    return this.#node.status === 'ready'
  }

  override onStateChange(listener: (connected: boolean) => void): void {
    if (this.#listeners.length === 0) this.#listenTo(this.#node)
    this.#listeners.push(listener)
  }

  /** The cluster client closes the connection. */
  override async close(): Promise<void> {}

  #listenTo(node: Redis): void {
    node.on('ready', () => this.#notify(node, true))
    node.on('close', () => this.#notify(node, false))
  }

  #notify(node: Redis, connected: boolean): void {
    if (node !== this.#node) return
    for (const listener of this.#listeners) listener(connected)
  }
}

/** A connection to a replica that is closed on timeout early enough for the master to reply in the remaining time. */
export class ReplicaNodeConnection extends NodeConnection {
  readonly #watchdog: Watchdog

  constructor(node: Redis, inFlight: InFlight, timeoutMs: number) {
    super(node, inFlight)
    const close = () => this.node.stream?.destroy(new DeadlineError())
    this.#watchdog = new Watchdog(timeoutMs, close)
  }

  override begin(): void {
    super.begin()
    this.#watchdog.begin()
  }

  override end(): void {
    super.end()
    this.#watchdog.end()
  }
}
