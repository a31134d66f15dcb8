import { DeadlineError, type InFlight, Watchdog } from '@stowage/core/driver'
import type { Redis } from 'ioredis'
import type { CommandClient } from '../../protocol/command-client.ts'
import type { DirectClient } from '../../protocol/direct-client.ts'
import { InjectedConnection } from '../connection.ts'

/** Returns the client that sends commands to the node directly: always the same for one node. */
export type DirectClientSource = (node: Redis) => DirectClient

/**
 * A connection of a cluster client to one node. It bypasses the client's routing: the node rejects keys of slots that
 * it does not serve.
 */
export class NodeConnection extends InjectedConnection {
  readonly #listeners: ((connected: boolean) => void)[] = []
  readonly #directClientOf: DirectClientSource
  #node: Redis
  #direct: DirectClient

  constructor(node: Redis, directClientOf: DirectClientSource, inFlight: InFlight) {
    super(node, inFlight)
    this.#node = node
    this.#directClientOf = directClientOf
    this.#direct = directClientOf(node)
  }

  get node(): Redis {
    return this.#node
  }

  /** The cluster client drops a node that it cannot reach, and creates another client for it later. */
  set node(node: Redis) {
    if (node === this.#node) return
    this.#node = node
    this.#direct = this.#directClientOf(node)
    this.#notify(node, false)
    if (this.#listeners.length > 0) this.#listenTo(node)
    if (node.status === 'ready') this.#notify(node, true)
  }

  override get client(): Redis {
    return this.#node
  }

  override beginCommand(): CommandClient {
    const client = super.beginCommand()
    return this.#direct.tryUse() ? this.#direct : client
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

  constructor(
    node: Redis,
    directClientOf: DirectClientSource,
    inFlight: InFlight,
    timeoutMs: number,
  ) {
    super(node, directClientOf, inFlight)
    const close = () => this.node.stream?.destroy(new DeadlineError())
    this.#watchdog = new Watchdog(timeoutMs, close)
  }

  override beginCommand(): CommandClient {
    this.#watchdog.begin()
    return super.beginCommand()
  }

  override endCommand(): void {
    super.endCommand()
    this.#watchdog.end()
  }
}
