import { answerWithin, DeadlineError } from '@stowage/core/driver'
import type { DynamoDBClient } from '../dynamodb-options.ts'
import { type Action, commands } from './actions.ts'
import type { ServerClock } from './server-clock.ts'
import type { Transport } from './transport.ts'

/** A client without the overloads for each command. */
interface UntypedClient {
  send(command: object, options: { abortSignal: AbortSignal }): Promise<object>
}

interface HttpReply {
  readonly response?: { readonly headers?: Record<string, string> }
}

interface CommandWithMiddleware {
  readonly middlewareStack?: {
    add(
      middleware: (
        next: (args: object) => Promise<HttpReply>,
      ) => (args: object) => Promise<HttpReply>,
      options: object,
    ): void
  }
}

/**
 * Sends commands of the SDK, so that the middleware, the request handler and the retries of the client apply. The timeouts
 * of the SDK cover neither credentials nor the wait for a socket, therefore each command has an abort signal.
 */
export class SdkTransport implements Transport {
  readonly host: undefined
  readonly #client: UntypedClient
  readonly #clock: ServerClock
  readonly #release: () => void

  /** @param release closes the client; does nothing for an injected one */
  constructor(client: DynamoDBClient, clock: ServerClock, release: () => void = () => {}) {
    this.#client = client as unknown as UntypedClient
    this.#clock = clock
    this.#release = release
  }

  get isInstrumented(): boolean {
    return isPatched(this.#client)
  }

  async send(action: Action, input: object, ms: number): Promise<object> {
    const controller = new AbortController()
    const command = new commands[action](input as never)
    this.#observeDate(command)
    const output = this.#client.send(command, { abortSignal: controller.signal })
    return answerWithin(ms, output, () => {
      controller.abort()
      return new DeadlineError()
    })
  }

  async close(): Promise<void> {
    this.#release()
  }

  #observeDate({ middlewareStack }: CommandWithMiddleware): void {
    middlewareStack?.add(
      (next) => async (args) => {
        const sentAt = performance.now()
        const result = await next(args)
        this.#clock.observe(result.response?.headers?.date, sentAt, performance.now())
        return result
      },
      { step: 'deserialize', name: 'observeDate', priority: 'low' },
    )
  }
}

/**
 * Whether something has replaced `send`, on the client or on its class: a monitoring tool that expects to see every
 * request. The source of the original begins with its name, because it is a method; that of a wrapper with `function` or
 * with parameters.
 */
export function isPatched({ send }: { readonly send: object }): boolean {
  return !Function.prototype.toString.call(send).startsWith('send(')
}
