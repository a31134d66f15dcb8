import type { Reply, StoreRequest } from '../protocol/protocol.ts'
import { readOk, readVersion } from '../protocol/status-replies.ts'
import { SingleRequest } from './pending-requests.ts'
import { Wire } from './wire.ts'

/** memjs sends its SASL request with this opaque. */
const memjsOpaque = 0

/** The default of `memcached -I`, for a server that does not return the setting. */
export const defaultItemBytes: number = 1024 * 1024

/** The commands of memcached on one connection, after the handshake. */
export class Connection extends Wire {
  /** Empty until the server has replied with its version. */
  serverVersion = ''
  /** Largest item that the server accepts: key, value and header. */
  itemBytes: number = defaultItemBytes

  /** Connects and authenticates. Rejects if the connection ends meanwhile. */
  async open(): Promise<void> {
    await this.connect()
    const { username = '', password = '' } = this.settings
    const { login } = this.protocol
    if (username !== '' && login !== undefined) {
      await this.single('connect', undefined, readOk, () => login(this.out, username, password))
    }
    this.serverVersion = await this.version()
    // After the version: the outcome of SASL does not show whether the server supports the protocol.
    if (username !== '' && login === undefined) await this.#authenticate()
    // Sent alone: a server that requires credentials replies so to a single request, but closes the connection if it
    // receives several.
    await this.noop('connect')
    this.itemBytes = (await this.#itemSizeMax()) ?? defaultItemBytes
  }

  get<T>(operation: string, key: string, read: (reply: Reply) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const opaque = this.nextOpaque(operation, key)
      this.protocol.get(this.out, key, opaque, false)
      this.enqueue(new SingleRequest(opaque, operation, key, read, resolve, reject))
    })
  }

  /** Calls `read` for each item that exists, with the index of its key. */
  getMany(
    operation: string,
    keys: readonly string[],
    read: (reply: Reply, index: number) => void,
  ): Promise<void> {
    return this.batch(operation, keys.length, read, (index, opaque) =>
      this.protocol.get(this.out, keys[index] as string, opaque, true),
    )
  }

  store<T>(operation: string, request: StoreRequest, read: (reply: Reply) => T): Promise<T> {
    return this.single(operation, request.key, read, (opaque) =>
      this.protocol.store(this.out, request, opaque, false),
    )
  }

  storeMany(
    operation: string,
    requests: readonly StoreRequest[],
    read: (reply: Reply) => void,
  ): Promise<void> {
    return this.batch(operation, requests.length, read, (index, opaque) =>
      this.protocol.store(this.out, requests[index] as StoreRequest, opaque, true),
    )
  }

  delete<T>(operation: string, key: string, cas: bigint, read: (reply: Reply) => T): Promise<T> {
    return this.single(operation, key, read, (opaque) =>
      this.protocol.delete(this.out, key, cas, opaque, false),
    )
  }

  /** Calls `read` for each key that is missing and, depending on the protocol, for each that was deleted. */
  deleteMany(
    operation: string,
    keys: readonly string[],
    read: (reply: Reply) => void,
  ): Promise<void> {
    return this.batch(operation, keys.length, read, (index, opaque) =>
      this.protocol.delete(this.out, keys[index] as string, 0n, opaque, true),
    )
  }

  touch<T>(operation: string, key: string, exptime: number, read: (reply: Reply) => T): Promise<T> {
    return this.single(operation, key, read, (opaque) =>
      this.protocol.touch(this.out, key, exptime, opaque),
    )
  }

  getAndTouch<T>(
    operation: string,
    key: string,
    exptime: number,
    read: (reply: Reply) => T,
  ): Promise<T> {
    return this.single(operation, key, read, (opaque) =>
      this.protocol.getAndTouch(this.out, key, exptime, opaque),
    )
  }

  arithmetic<T>(
    operation: string,
    key: string,
    delta: bigint,
    read: (reply: Reply) => T,
  ): Promise<T> {
    return this.single(operation, key, read, (opaque) =>
      this.protocol.arithmetic(this.out, key, delta, opaque),
    )
  }

  flushAll(operation: string): Promise<void> {
    return this.single(operation, undefined, readOk, (opaque) =>
      this.protocol.flush(this.out, opaque),
    )
  }

  noop(operation: string): Promise<void> {
    return this.single(operation, undefined, readOk, (opaque) =>
      this.protocol.noop(this.out, opaque),
    )
  }

  version(): Promise<string> {
    return this.single('connect', undefined, readVersion, (opaque) =>
      this.protocol.version(this.out, opaque),
    )
  }

  #authenticate(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.enqueue(new SingleRequest(memjsOpaque, 'connect', undefined, readOk, resolve, reject))
      this.saslAuth()
    })
  }

  async #itemSizeMax(): Promise<number | undefined> {
    let bytes: number | undefined
    const read = (reply: Reply) => {
      if (reply.name === 'item_size_max') bytes = Number(reply.value)
    }
    await this.batch('connect', 1, read, (_, opaque) => this.protocol.settings(this.out, opaque))
    return bytes
  }
}
