import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import {
  checkClient,
  type DynamoDBOptions,
  type DynamoDBClient as InjectedClient,
} from '../dynamodb-options.ts'
import { LeanTransport } from './lean-transport.ts'
import { isPatched, SdkTransport } from './sdk-transport.ts'
import { type ServerClock, sharedClock } from './server-clock.ts'
import type { Transport } from './transport.ts'

/** As many as there are requests in flight. */
const maxSockets = 128

type ClientOptions = Pick<DynamoDBOptions, 'region' | 'endpoint' | 'credentials' | 'client'>

/**
 * The client of the SDK: that of the application, whose own configuration applies to every request, or else one that
 * resolves credentials, region and endpoint for the lean transport.
 */
export class Clients {
  readonly clock: ServerClock
  readonly #options: ClientOptions
  readonly #requestTimeoutMs: number
  #client: InjectedClient | undefined

  constructor(options: ClientOptions, requestTimeoutMs: number) {
    this.clock = sharedClock(options)
    this.#options = options
    this.#requestTimeoutMs = requestTimeoutMs
  }

  /** The region that the client has resolved. `undefined` if it is not known. */
  async region(): Promise<string | undefined> {
    return this.#client?.config?.region()
  }

  createTransport(): Transport {
    const { client } = this.#options
    if (client !== undefined) {
      this.#client = checkClient(typeof client === 'function' ? client() : client)
      return new SdkTransport(this.#client, this.clock)
    }
    const created = this.#createClient()
    this.#client = created
    const release = () => created.destroy()
    return isPatched(created)
      ? new SdkTransport(created, this.clock, release)
      : new LeanTransport(created, this.clock, this.#requestTimeoutMs)
  }

  #createClient(): DynamoDBClient {
    const { region, endpoint, credentials } = this.#options
    const agent = { keepAlive: true, maxSockets }
    return new DynamoDBClient({
      ...(region !== undefined && { region }),
      ...(endpoint !== undefined && { endpoint }),
      ...(credentials !== undefined && { credentials }),
      // RequestSender retries.
      maxAttempts: 1,
      requestHandler: { httpAgent: agent, httpsAgent: agent },
    })
  }
}
