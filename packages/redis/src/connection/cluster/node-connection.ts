import { DeadlineError, type InFlight, Watchdog } from '@stowage/core/driver'
import type { Redis } from 'ioredis'
import type { CommandClient } from '../../protocol/command-client.ts'
import type { DirectClient } from '../../protocol/direct-client.ts'
import { InjectedConnection } from '../connection.ts'

/**
 * A connection of a cluster client to one node. It bypasses the client's routing: the node rejects keys of slots that
 * it does not serve.
 */
export class NodeConnection extends InjectedConnection {
  readonly node: Redis

  readonly #direct: DirectClient

  constructor(node: Redis, direct: DirectClient, inFlight: InFlight) {
    super(node, inFlight)
    this.node = node
    this.#direct = direct
  }

  override begin(): CommandClient {
    const client = super.begin()
    return this.#direct.isAvailable ? this.#direct : client
  }

  override tryConnect(): boolean {
    if (this.node.status === 'wait') this.node.connect().catch(() => {})
    return this.node.status === 'ready'
  }

  override onStateChange(listener: (connected: boolean) => void): void {
    this.node.on('ready', () => listener(true))
    this.node.on('close', () => listener(false))
  }

  /** The cluster client closes the connection. */
  override async close(): Promise<void> {}
}

/** A connection to a replica that is closed on timeout early enough for the master to reply in the remaining time. */
export class ReplicaNodeConnection extends NodeConnection {
  readonly #watchdog: Watchdog

  constructor(node: Redis, direct: DirectClient, inFlight: InFlight, timeoutMs: number) {
    super(node, direct, inFlight)
    this.#watchdog = new Watchdog(timeoutMs, () => node.stream?.destroy(new DeadlineError()))
  }

  override begin(): CommandClient {
    this.#watchdog.begin()
    return super.begin()
  }

  override end(): void {
    super.end()
    this.#watchdog.end()
  }
}
