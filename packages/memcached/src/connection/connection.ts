import { CacheError } from '@stowage/core'
import { probeKey } from '../protocol/meta-protocol.ts'
import {
  ProtocolMismatchError,
  type Reply,
  type StoreRequest,
  status,
} from '../protocol/protocol.ts'
import { readOk, readVersion } from '../protocol/status-replies.ts'
import { type Failures, SingleRequest } from './pending-requests.ts'
import { Wire } from './wire.ts'

/** memjs sends its SASL request with this opaque. */
const memjsOpaque = 0

/** The default of `memcached -I`, for a server that does not return the setting. */
export const defaultItemBytes: number = 1024 * 1024

/** A batch of more data is sent as several, so that their replies show that the data is transferred. */
const partBytes = 256 * 1024

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
      assertWithoutSpaces(username, password)
      const write = () => login(this.out, username, password)
      await this.single('connect', undefined, readOk, write, 'stored')
    }
    this.serverVersion = await this.version()
    // After the version: the outcome of SASL does not show whether the server supports the protocol.
    if (username !== '' && login === undefined) await this.#authenticate()
    // Sent alone: a server that requires credentials replies so to a single request, but closes the connection if it
    // receives several.
    await this.noop('connect')
    const [, itemBytes] = await Promise.all([
      this.protocol.name === 'meta' && this.#probeMiss(),
      this.#stat('settings', 'item_size_max'),
    ])
    this.itemBytes = Number(itemBytes ?? defaultItemBytes)
    this.isOpen = true
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
  ): Promise<Failures | undefined> {
    const readKey = (reply: Reply, index: number) => {
      if (reply.status === status.ok && !reply.isFor(keys[index] as string)) {
        throw new ProtocolMismatchError('the value belongs to another key')
      }
      read(reply, index)
    }
    return this.batch(operation, keys.length, readKey, (index, opaque) =>
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
    read: (reply: Reply, index: number) => void,
  ): Promise<Failures | undefined> {
    const ends = partEnds(requests)
    if (ends.length > 1) return this.#storeParts(operation, requests, ends, read)
    return this.#storePart(operation, requests, 0, requests.length, read)
  }

  #storePart(
    operation: string,
    requests: readonly StoreRequest[],
    start: number,
    end: number,
    read: (reply: Reply, index: number) => void,
  ): Promise<Failures | undefined> {
    return this.batch(operation, end - start, read, (index, opaque) =>
      this.protocol.store(this.out, requests[start + index] as StoreRequest, opaque, true),
    )
  }

  async #storeParts(
    operation: string,
    requests: readonly StoreRequest[],
    ends: readonly number[],
    read: (reply: Reply, index: number) => void,
  ): Promise<Failures> {
    const failures = new Map<number, unknown>()
    const parts = ends.map(async (end, part) => {
      const start = ends[part - 1] ?? 0
      try {
        const found = await this.#storePart(operation, requests, start, end, read)
        for (const [index, error] of found ?? []) failures.set(start + index, error)
      } catch (error) {
        for (let index = start; index < end; index++) failures.set(index, error)
      }
    })
    await Promise.all(parts)
    return failures
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
    read: (reply: Reply, index: number) => void,
  ): Promise<Failures | undefined> {
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
    cas: bigint,
    read: (reply: Reply) => T,
  ): Promise<T> {
    return this.single(operation, key, read, (opaque) =>
      this.protocol.arithmetic(this.out, key, delta, cas, opaque),
    )
  }

  /** Reads an item with the seconds until it expires. Only for a protocol with `getWithTtl`. */
  getWithTtl<T>(operation: string, key: string, read: (reply: Reply) => T): Promise<T> {
    return this.single(operation, key, read, (opaque) =>
      this.protocol.getWithTtl?.(this.out, key, opaque),
    )
  }

  /** The same without the value. */
  getTtl<T>(operation: string, key: string, read: (reply: Reply) => T): Promise<T> {
    return this.single(operation, key, read, (opaque) =>
      this.protocol.getTtl?.(this.out, key, opaque),
    )
  }

  flushAll(operation: string): Promise<void> {
    const write = (opaque: number) => this.protocol.flush(this.out, opaque)
    return this.single(operation, undefined, readOk, write, 'ok')
  }

  noop(operation: string): Promise<void> {
    const write = (opaque: number) => this.protocol.noop(this.out, opaque)
    return this.single(operation, undefined, readOk, write, 'end')
  }

  version(): Promise<string> {
    const write = (opaque: number) => this.protocol.version(this.out, opaque)
    return this.single('connect', undefined, readVersion, write, 'version')
  }

  /** The time of the server's clock in Unix seconds, on which its expiries are based. */
  async time(operation: string): Promise<number> {
    const time = Number(await this.#stat('', 'time', operation))
    if (Number.isSafeInteger(time)) return time
    throw new ProtocolMismatchError('the statistics of the server do not contain its time')
  }

  /** The general statistics of the server, by name. */
  async statistics(operation: string): Promise<Map<string, string>> {
    const found = new Map<string, string>()
    const read = ({ name, value }: Reply) => {
      if (name !== '') found.set(name, value.toString('latin1'))
    }
    const write = (_: number, opaque: number) => this.protocol.stats(this.out, '', opaque)
    await this.batch(operation, 1, read, write, 'stat')
    return found
  }

  async #probeMiss(): Promise<void> {
    this.hasBareMisses = true
    this.hasBareMisses = await this.get('connect', probeKey, ({ opaque }) => opaque === undefined)
  }

  #authenticate(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.enqueue(new SingleRequest(memjsOpaque, 'connect', undefined, readOk, resolve, reject))
      this.saslAuth()
    })
  }

  async #stat(
    group: '' | 'settings',
    name: string,
    operation = 'connect',
  ): Promise<string | undefined> {
    let value: string | undefined
    const read = (reply: Reply) => {
      if (reply.name === name) value = reply.value.toString('latin1')
    }
    const write = (_: number, opaque: number) => this.protocol.stats(this.out, group, opaque)
    await this.batch(operation, 1, read, write, 'stat')
    return value
  }
}

/** Where the parts of a batch end. */
function partEnds(requests: readonly StoreRequest[]): number[] {
  const ends: number[] = []
  let bytes = 0
  for (let index = 0; index < requests.length; index++) {
    if (bytes >= partBytes) {
      ends.push(index)
      bytes = 0
    }
    bytes += (requests[index] as StoreRequest).payload.length
  }
  ends.push(requests.length)
  return ends
}

/** The server of `memcached -Y` splits what it receives at spaces, and has no way to quote them. SASL has. */
function assertWithoutSpaces(username: string, password: string): void {
  if (!/\s/.test(username + password)) return
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    'memcached: the server has a file of users (-Y), and does not accept a user name or a password with a space. Choose ' +
      'another one.',
    { store: 'memcached', operation: 'connect' },
  )
}
