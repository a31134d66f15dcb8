import { DeadlineError, Watchdog } from '@stowage/core/driver'
import type { Redis } from 'ioredis'
import type { CommandClient } from '../../protocol/command-client.ts'
import { DirectClient } from '../../protocol/direct-client.ts'
import { largeReplyDetector } from '../large-reply.ts'

/** Sends commands to a node of a cluster directly. If a reply is overdue, the connection to the node is closed. */
export class DirectNode {
  readonly client: DirectClient
  readonly #node: Redis
  readonly #watchdog: Watchdog
  #timedOut = false

  constructor(node: Redis, timeoutMs: number) {
    this.#node = node
    this.client = new DirectClient(node)
    this.#watchdog = new Watchdog(timeoutMs, () => this.#close(), largeReplyDetector(node))
  }

  get isAvailable(): boolean {
    return this.client.tryUse() && this.#node.status === 'ready'
  }

  async send<T>(command: (client: CommandClient) => Promise<T>): Promise<T> {
    this.#watchdog.begin()
    try {
      return await command(this.client)
    } catch (error) {
      // ioredis reports only that the connection was closed.
      throw this.#timedOut && (error as Error).name !== 'ReplyError' ? new DeadlineError() : error
    } finally {
      this.#watchdog.end()
    }
  }

  #close(): void {
    this.#timedOut = true
    this.#node.stream?.destroy(new DeadlineError())
  }
}
