import { tracingChannel } from 'node:diagnostics_channel'
import type { Writable } from 'node:stream'
import type { QueueEntry } from './queue-entry.ts'

/**
 * The members of an ioredis client that requests are sent with. They are not part of its documented API: before they
 * are used, {@link QueueAccess} verifies that they exist.
 */
export interface QueueingClient {
  readonly status: string
  readonly stream?: Writable | undefined
  readonly commandQueue: {
    readonly length: number
    push(entry: QueueEntry): unknown
    peekFront(): QueueEntry | undefined
    shift(): QueueEntry | undefined
  }
  sendCommand(...args: never[]): unknown
}

const tracing = tracingChannel('ioredis:command')

/** Decides whether requests may be put into the queue of a client instead of being sent by the client itself. */
export class QueueAccess {
  readonly #client: QueueingClient
  readonly #sendCommand = new MethodCheck(/\.commandQueue\.push\(\{\s*command\b/)

  constructor(client: object) {
    this.#client = client as QueueingClient
  }

  /**
   * False if a tool for tracing has replaced `sendCommand` of the client or listens to its events, or if a later version
   * of ioredis works differently.
   */
  get isPossible(): boolean {
    const { sendCommand, commandQueue } = this.#client
    if (!this.#sendCommand.isOriginal(sendCommand) || tracing.hasSubscribers) return false
    return commandQueue?.push !== undefined && commandQueue.shift !== undefined
  }
}

/** Recognises a method of ioredis by its source. That of a wrapper around the method is different. */
export class MethodCheck {
  readonly #source: RegExp
  #checked: unknown
  #isOriginal = false

  /** @param source matches the source of the original method */
  constructor(source: RegExp) {
    this.#source = source
  }

  isOriginal(method: unknown): boolean {
    if (method !== this.#checked) {
      this.#checked = method
      this.#isOriginal =
        typeof method === 'function' && this.#source.test(Function.prototype.toString.call(method))
    }
    return this.#isOriginal
  }
}
