import { type DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb'
import { Pool } from 'undici'
import type { Action } from './actions.ts'
import { encodeInput } from './aws-json.ts'
import { LeanRequest } from './lean-request.ts'
import { type Credentials, RequestSigner, type SigningScope } from './request-signer.ts'
import { SdkTransport } from './sdk-transport.ts'
import type { ServerClock } from './server-clock.ts'
import type { Transport } from './transport.ts'

const leanActions: ReadonlySet<Action> = new Set<Action>([
  'GetItem',
  'BatchGetItem',
  'PutItem',
  'BatchWriteItem',
  'UpdateItem',
  'DeleteItem',
])

/** The API version, as a prefix of the actions. */
const apiVersion = 'DynamoDB_20120810'

/** Exceptions of the server for a request signed with a wrong time. */
const clockExceptions: ReadonlySet<string> = new Set([
  'InvalidSignatureException',
  'RequestExpired',
  'RequestInTheFuture',
  'RequestTimeTooSkewed',
  'SignatureDoesNotMatch',
])

/** Servers close idle connections after some minutes; a request that is written at that moment is lost. */
const keepAliveTimeout = 20_000

/**
 * Sends the requests for items itself, over undici, which takes a tenth of the CPU time of the SDK. Credentials, region and
 * endpoint are those that the SDK resolves. Everything else is sent by the SDK.
 */
export class LeanTransport implements Transport {
  readonly #client: DynamoDBClient
  readonly #clock: ServerClock
  readonly #connectTimeoutMs: number
  readonly #sdk: SdkTransport
  readonly #send: DynamoDBClient['send']
  readonly #signer = new RequestSigner()
  #endpoint: Endpoint | undefined
  #pool: Pool | undefined
  /** The account of the credentials that the endpoint was resolved with: an account can have its own. */
  #accountId: string | undefined
  #resolving: Promise<void> | undefined
  #isSupported = true

  constructor(client: DynamoDBClient, clock: ServerClock, connectTimeoutMs: number) {
    this.#client = client
    this.#clock = clock
    this.#connectTimeoutMs = connectTimeoutMs
    this.#sdk = new SdkTransport(client, clock)
    this.#send = client.send
  }

  get isInstrumented(): boolean {
    return this.#sdk.isInstrumented
  }

  get host(): string | undefined {
    return this.#endpoint?.host
  }

  async send(action: Action, input: object, ms: number): Promise<object> {
    if (!leanActions.has(action) || !this.#isUsable()) return this.#sdk.send(action, input, ms)
    const deadline = performance.now() + ms
    const body = encodeInput(input)
    const signedAt = this.#clock.signingTime()
    try {
      return await this.#exchange(action, body, ms)
    } catch (error) {
      if (!this.#isUsable()) return this.#sdk.send(action, input, deadline - performance.now())
      if (!this.#hasCorrectedClock(error, signedAt)) throw error
      return this.#exchange(action, body, deadline - performance.now())
    }
  }

  async close(): Promise<void> {
    this.#client.destroy()
    await this.#pool?.destroy()
  }

  /** A monitoring tool that replaces `send`, even later, expects to see every request. */
  #isUsable(): boolean {
    return this.#isSupported && this.#client.send === this.#send
  }

  #exchange(action: Action, body: string, ms: number): Promise<object> {
    const exchange = new LeanRequest(ms, this.#clock)
    this.#dispatch(exchange, action, body).catch((error) => exchange.fail(error))
    return exchange.output
  }

  async #dispatch(exchange: LeanRequest, action: Action, body: string): Promise<void> {
    // First, because the SDK reports a missing region before missing credentials.
    if (this.#endpoint === undefined) await this.#resolveEndpoint()
    const credentials: Credentials = await this.#client.config.credentials()
    if (credentials.accountId !== this.#accountId) await this.#resolveEndpoint()
    const endpoint = this.#endpoint as Endpoint
    if (exchange.isSettled) return
    const target = `${apiVersion}.${action}`
    const time = this.#clock.signingTime()
    const headers = this.#signer.sign(credentials, endpoint, target, body, time)
    headers['user-agent'] = endpoint.userAgent
    this.#pool?.dispatch({ method: 'POST', path: '/', headers, body }, exchange)
  }

  #resolveEndpoint(): Promise<void> {
    this.#resolving ??= this.#replaceEndpoint().finally(() => {
      this.#resolving = undefined
    })
    return this.#resolving
  }

  async #replaceEndpoint(): Promise<void> {
    const endpoint = await resolveEndpoint(this.#client)
    if (endpoint === undefined) {
      this.#isSupported = false
      throw new Error('the endpoint needs the SDK')
    }
    if (endpoint.origin !== this.#endpoint?.origin) {
      // Waits for the requests in flight.
      this.#pool?.close().catch(() => {})
      this.#pool = this.#createPool(endpoint.origin)
    }
    this.#endpoint = endpoint
    this.#accountId = (await this.#client.config.credentials()).accountId
  }

  #createPool(origin: string): Pool {
    return new Pool(origin, {
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout,
      connect: { timeout: this.#connectTimeoutMs },
      // An exchange has its own deadline.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  /** Whether the request failed because the clock of this machine is wrong, and the reply has the right time. */
  #hasCorrectedClock(error: unknown, signedAt: number): boolean {
    const correction = Math.abs(this.#clock.signingTime() - signedAt)
    return clockExceptions.has((error as Error).name) && correction > 60_000
  }
}

/** Where and how the SDK sends its requests. */
interface Endpoint extends SigningScope {
  /** For example https://dynamodb.eu-central-1.amazonaws.com */
  readonly origin: string
  readonly userAgent: string
}

interface SignedRequest {
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
  readonly query?: object
  readonly username?: string
  readonly headers: Readonly<Record<string, string>>
}

const scopePattern = /^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/([^/]+)\/([^/]+)\/aws4_request,/

/**
 * Finds out where the SDK would send a request and for which region it would sign it, by letting it prepare one that is
 * then not sent. Only the SDK knows all rules: environment, shared configuration, FIPS, dual stack, account endpoints.
 * @returns `undefined` if requests need more than an address and a signature of version 4
 */
async function resolveEndpoint(client: DynamoDBClient): Promise<Endpoint | undefined> {
  const { protocol, hostname, port, path, query, username, headers } = await prepareRequest(client)
  const scope = scopePattern.exec(headers.authorization ?? '')
  const isPlain = path === '/' && Object.keys(query ?? {}).length === 0 && username === undefined
  if (!isPlain || scope === null) return undefined
  const host = headers.host ?? (port === undefined ? hostname : `${hostname}:${port}`)
  const [, region = '', service = ''] = scope
  const userAgent = headers['user-agent'] ?? headers['x-amz-user-agent'] ?? ''
  return { origin: `${protocol}//${host}`, host, region, service, userAgent }
}

async function prepareRequest(client: DynamoDBClient): Promise<SignedRequest> {
  let request: unknown
  const command = new GetItemCommand({ TableName: 'table', Key: {} })
  command.middlewareStack.add(
    () => async (args) => {
      request = args.request
      return { output: { $metadata: {} }, response: undefined }
    },
    { step: 'deserialize', name: 'captureRequest', priority: 'high' },
  )
  const { middlewareStack, config } = client
  await command.resolveMiddleware(middlewareStack, config, {})(command)
  return request as SignedRequest
}
