import type { Reply, StoreRequest } from '../protocol/protocol.ts'
import { readAnything, readVersion } from '../protocol/status-replies.ts'
import { SingleRequest } from './pending-requests.ts'
import { Wire } from './wire.ts'

/** The number memjs gives to the requests of its handshake. */
const memjsOpaque = 0

/** `memcached -I`, where the server does not say. */
export const defaultItemBytes: number = 1024 * 1024

/** The commands of memcached, on one connection that has introduced itself. */
export class Connection extends Wire {
  /** As the server says, once it is open. */
  release = ''
  /** Largest item the server takes: key, value and what it keeps beside them. */
  itemBytes: number = defaultItemBytes

  /** Connects, and introduces itself. Rejects when it has ended instead. */
  async open(): Promise<void> {
    await this.connect()
    const { username = '', password = '' } = this.settings
    const { login } = this.protocol
    if (username !== '' && login !== undefined) {
      await this.single('connect', undefined, readAnything, () =>
        login(this.out, username, password),
      )
    }
    this.release = await this.version()
    // Later: SASL is no answer to which protocol the server speaks.
    if (username !== '' && login === undefined) await this.#authenticate()
    // A server that wants credentials says so to a lone request; behind several it hangs up before it is heard.
    await this.noop('connect')
    this.itemBytes = (await this.#itemSizeMax()) ?? defaultItemBytes
  }

  get<T>(operation: string, key: string, read: (reply: Reply) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const opaque = this.next(operation, key)
      this.protocol.get(this.out, key, opaque, false)
      this.sent(new SingleRequest(opaque, operation, key, read, resolve, reject))
    })
  }

  /** The answers to those that are there, by their index. */
  getMany(
    operation: string,
    keys: readonly string[],
    take: (reply: Reply, index: number) => void,
  ): Promise<void> {
    return this.batch(operation, keys.length, take, (index, opaque) =>
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
    take: (reply: Reply) => void,
  ): Promise<void> {
    return this.batch(operation, requests.length, take, (index, opaque) =>
      this.protocol.store(this.out, requests[index] as StoreRequest, opaque, true),
    )
  }

  delete<T>(operation: string, key: string, cas: bigint, read: (reply: Reply) => T): Promise<T> {
    return this.single(operation, key, read, (opaque) =>
      this.protocol.delete(this.out, key, cas, opaque, false),
    )
  }

  /** What `take` is told of every key: that it was deleted, or not there; or of the latter only. */
  deleteMany(
    operation: string,
    keys: readonly string[],
    take: (reply: Reply) => void,
  ): Promise<void> {
    return this.batch(operation, keys.length, take, (index, opaque) =>
      this.protocol.delete(this.out, keys[index] as string, 0n, opaque, true),
    )
  }

  touch<T>(operation: string, key: string, expiry: number, read: (reply: Reply) => T): Promise<T> {
    return this.single(operation, key, read, (opaque) =>
      this.protocol.touch(this.out, key, expiry, opaque),
    )
  }

  getAndTouch<T>(
    operation: string,
    key: string,
    expiry: number,
    read: (reply: Reply) => T,
  ): Promise<T> {
    return this.single(operation, key, read, (opaque) =>
      this.protocol.getAndTouch(this.out, key, expiry, opaque),
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
    return this.single(operation, undefined, readAnything, (opaque) =>
      this.protocol.flush(this.out, opaque),
    )
  }

  noop(operation: string): Promise<void> {
    return this.single(operation, undefined, readAnything, (opaque) =>
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
      this.sent(new SingleRequest(memjsOpaque, 'connect', undefined, readAnything, resolve, reject))
      this.saslAuth()
    })
  }

  async #itemSizeMax(): Promise<number | undefined> {
    let bytes: number | undefined
    const take = (reply: Reply) => {
      if (reply.name === 'item_size_max') bytes = Number(reply.value)
    }
    // A server that does not tell its settings is taken for one with the usual limit.
    await this.batch('connect', 1, take, (_, opaque) => this.protocol.settings(this.out, opaque))
    return bytes
  }
}
