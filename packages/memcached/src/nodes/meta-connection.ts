import { CacheError } from '@stowage/core'
import { Connection } from '../connection/connection.ts'
import type { WireOptions } from '../connection/wire.ts'
import { NodeError, translate } from '../memcached-errors.ts'
import { type NodeAddress, nodeName } from '../node-address.ts'
import { meta } from '../protocol/meta-protocol.ts'
import { mayUseOtherProtocol } from './protocol-choice.ts'

/** For how long a server without the meta protocol is not tried again. */
const retryMs = 60_000

/**
 * A second connection to a node with the binary protocol, for the requests that only the meta protocol has. It is opened
 * when it is first needed.
 */
export class MetaConnection {
  readonly #options: WireOptions
  #connection: Connection | undefined
  #attempt: Promise<Connection> | undefined
  #unsupportedAt = -Infinity

  constructor(options: WireOptions) {
    this.#options = options
  }

  /** @throws CacheError `ERR_CACHE_UNSUPPORTED` if the server does not have the meta protocol */
  open(address: NodeAddress, operation: string, key: string): Promise<Connection> {
    if (this.#connection !== undefined) return Promise.resolve(this.#connection)
    if (performance.now() - this.#unsupportedAt < retryMs) {
      return Promise.reject(unsupported(address, operation, key))
    }
    this.#attempt ??= this.#open(address, operation, key).finally(() => {
      this.#attempt = undefined
    })
    return this.#attempt
  }

  async close(): Promise<void> {
    await this.#attempt?.catch(() => {})
    await this.#connection?.drain()
  }

  async #open(address: NodeAddress, operation: string, key: string): Promise<Connection> {
    const connection = new Connection(address, meta, this.#options, () => {
      this.#connection = undefined
    })
    try {
      await connection.open()
    } catch (error) {
      const reason = ((error as Error).cause ?? error) as Error
      connection.close()
      // `memcached -B binary` does not reply to text at all.
      const isSilent = connection.connected && connection.serverVersion === ''
      if (isSilent || mayUseOtherProtocol(connection, reason)) {
        this.#unsupportedAt = performance.now()
        throw unsupported(address, operation, key)
      }
      throw translate(new NodeError(nodeName(address), reason), operation, key)
    }
    this.#connection = connection.endReason === undefined ? connection : undefined
    return connection
  }
}

function unsupported(address: NodeAddress, operation: string, key: string): CacheError {
  const message =
    `memcached ${operation} failed: ${nodeName(address)}: the server does not have the meta protocol, which a negative ` +
    'counter requires. Use memcached 1.6 or later.'
  return new CacheError('ERR_CACHE_UNSUPPORTED', message, { store: 'memcached', operation, key })
}
