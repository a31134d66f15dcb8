import { crc32 } from 'node:zlib'
import { DeadlineError } from '@stowage/core/driver'
import type { Dispatcher } from 'undici'
import { decodeOutput } from './aws-json.ts'
import type { ServerClock } from './server-clock.ts'
import { toError } from './to-error.ts'

type Headers = Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>[2]

/** One request and its reply, with a deadline. As a handler of undici it costs a fraction of `fetch` or `request`. */
export class LeanRequest implements Dispatcher.DispatchHandler {
  readonly output: Promise<object>
  readonly #clock: ServerClock
  readonly #timer: NodeJS.Timeout
  #resolve!: (output: object) => void
  #reject!: (error: unknown) => void
  #controller: Dispatcher.DispatchController | undefined
  #isSettled = false
  #sentAt = 0
  #status = 0
  #headers: Headers = {}
  #chunks: Buffer[] = []

  constructor(ms: number, clock: ServerClock) {
    this.#clock = clock
    this.output = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#timer = setTimeout(() => this.fail(new DeadlineError()), ms)
  }

  get isSettled(): boolean {
    return this.#isSettled
  }

  /** Rejects, and closes the connection of a request that was sent. One that was not sent will not be sent. */
  fail(reason: unknown): void {
    if (this.#isSettled) return
    this.#settle()
    const error = toError(reason)
    // Read by `isOutcomeUnknown`: without a connection the server cannot have received the request.
    this.#reject(this.#controller === undefined ? Object.assign(error, { wasSent: false }) : error)
    this.#controller?.abort(error)
  }

  /** undici has a connection, and writes the request next. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    this.#sentAt = performance.now()
    if (this.#isSettled) controller.abort(new DeadlineError())
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Headers): void {
    this.#status = status
    this.#headers = headers
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    if (this.#isSettled) return
    this.#settle()
    this.#clock.observe(this.#headers.date, this.#sentAt, performance.now())
    try {
      this.#resolve(this.#decode())
    } catch (error) {
      this.#reject(error)
    }
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.fail(error)
  }

  #settle(): void {
    this.#isSettled = true
    clearTimeout(this.#timer)
  }

  #decode(): object {
    const [first, ...rest] = this.#chunks
    const body = first === undefined || rest.length > 0 ? Buffer.concat(this.#chunks) : first
    const { 'x-amz-crc32': checksum, 'x-amzn-requestid': requestId } = this.#headers
    const $metadata = { httpStatusCode: this.#status, requestId, attempts: 1 }
    if (checksum !== undefined && Number(checksum) !== crc32(body)) {
      throw exception('CRC32CheckFailed', 'the checksum of the reply is wrong', $metadata)
    }
    const text = body.toString()
    if (this.#status >= 200 && this.#status < 300) return decodeOutput(text)
    throw exceptionOf(text, $metadata)
  }
}

/** The exception of an error reply, named like the SDK names it. */
function exceptionOf(text: string, $metadata: { httpStatusCode: number }): Error {
  const { __type: type, message, Message } = parseError(text)
  const name = /([^#:]+)(?::.*)?$/.exec(String(type ?? ''))?.[1]
  const status = `HTTP status ${$metadata.httpStatusCode}`
  return exception(name ?? 'UnknownError', String(message ?? Message ?? name ?? status), $metadata)
}

/** A proxy may reply with something else than JSON. */
function parseError(text: string): { __type?: unknown; message?: unknown; Message?: unknown } {
  try {
    return JSON.parse(text) ?? {}
  } catch {
    return {}
  }
}

function exception(name: string, message: string, $metadata: object): Error {
  return Object.assign(new Error(message), { name, $metadata })
}
