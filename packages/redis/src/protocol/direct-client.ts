import type { Redis } from 'ioredis'
import type { Argument, CommandClient, SetOptions } from './command-client.ts'
import { Outbox } from './outbox.ts'
import { ReplyCounter, SingleReply } from './queue-entry.ts'
import { QueueAccess, type QueueingClient } from './queueing-client.ts'
import { bulkString, lineEnd, Request, requestHeader } from './request.ts'

const getHeader = requestHeader('GET', 1)
const setHeader = requestHeader('SET', 2)
const setWithTtlHeader = requestHeader('SET', 4)
const addHeader = requestHeader('SET', 3)
const addWithTtlHeader = requestHeader('SET', 5)
const pexpireHeader = requestHeader('PEXPIRE', 2)
const pttlHeader = requestHeader('PTTL', 1)
const nx = bulkString('NX')
const px = bulkString('PX')

/**
 * Sends the frequent commands of the store without the command objects of ioredis: encoded in advance, in one write per
 * turn of the event loop, with minimal entries in the queue of the client. The client does all the rest: it connects,
 * reconnects, decodes the replies, and rejects what is in the queue when the connection is lost.
 */
export class DirectClient implements CommandClient {
  readonly #client: Redis
  readonly #access: QueueAccess
  readonly #outbox: Outbox
  #ttl = 0
  #ttlSuffix = ''

  constructor(client: Redis) {
    this.#client = client
    this.#access = new QueueAccess(client)
    this.#outbox = new Outbox(client as unknown as QueueingClient)
  }

  /** Whether it can be used now. Otherwise the commands have to be sent with the client itself. */
  get isAvailable(): boolean {
    if (this.#access.isPossible) return true
    this.flush()
    return false
  }

  getBuffer(key: string): Promise<Argument | null> {
    const entry = new SingleReply<Argument | null>('get')
    this.#outbox.addBatched(new Request(getHeader, [key]), entry)
    return entry.promise
  }

  mgetBuffer(keys: string[]): Promise<(Argument | null)[]> {
    const entry = new SingleReply<(Argument | null)[]>('mget')
    this.#outbox.addBatched(new Request(requestHeader('MGET', keys.length), keys), entry)
    return entry.promise
  }

  set(key: string, value: Argument, ...options: SetOptions): Promise<'OK'> {
    const [first, ttl, isNew] = options
    if (first === 'NX') return this.#add(new Request(addHeader, [key, value], nx + lineEnd))
    if (ttl === undefined) return this.#set(new Request(setHeader, [key, value]))
    const suffix = this.#suffixFor(ttl)
    if (isNew === undefined) return this.#set(new Request(setWithTtlHeader, [key, value], suffix))
    return this.#add(new Request(addWithTtlHeader, [key, value], nx + suffix))
  }

  setEach(pairs: readonly Argument[], ttl: number): Promise<void> {
    const request = new Request(setWithTtlHeader, pairs, this.#suffixFor(ttl), 2)
    const counter = new ReplyCounter('set', request.commandCount)
    this.#outbox.addBatched(request, counter)
    return counter.promise
  }

  mset(pairs: Argument[]): Promise<'OK'> {
    return this.#set(new Request(requestHeader('MSET', pairs.length), pairs))
  }

  unlink(...keys: string[]): Promise<number> {
    return this.#send('unlink', new Request(requestHeader('UNLINK', keys.length), keys))
  }

  pexpire(key: string, ttl: number): Promise<number> {
    return this.#send('pexpire', new Request(pexpireHeader, [key, String(ttl)]))
  }

  pttl(key: string): Promise<number> {
    return this.#send('pttl', new Request(pttlHeader, [key]))
  }

  evalsha(digest: string, keyCount: number, ...args: Argument[]): Promise<unknown> {
    const header = requestHeader('EVALSHA', args.length + 2)
    return this.#send('evalsha', new Request(header, [digest, String(keyCount), ...args]))
  }

  eval(source: string, keyCount: number, ...args: Argument[]): Promise<unknown> {
    return this.#ordinary.eval(source, keyCount, ...args)
  }

  scan(...args: Parameters<CommandClient['scan']>): Promise<[cursor: string, keys: string[]]> {
    return this.#ordinary.scan(...args)
  }

  flushdb(mode: 'ASYNC'): Promise<'OK'> {
    return this.#ordinary.flushdb(mode)
  }

  ping(): Promise<string> {
    return this.#ordinary.ping()
  }

  time(): Promise<(number | string)[]> {
    return this.#ordinary.time()
  }

  socketFor(): object {
    return this.#client.stream ?? this.#client
  }

  /** Sends the requests that wait for the end of the turn. */
  flush(): void {
    this.#outbox.flush()
  }

  /** The client, for a command that has to follow the earlier ones. */
  get #ordinary(): Redis {
    this.flush()
    return this.#client
  }

  #set(request: Request): Promise<'OK'> {
    const entry = new SingleReply<'OK'>('set')
    this.#outbox.addBatched(request, entry)
    return entry.promise
  }

  /** SET with NX replies OK, or null if the key exists. */
  async #add(request: Request): Promise<'OK'> {
    const reply = await this.#send<Argument | null>('set', request)
    return (reply === null ? null : 'OK') as 'OK'
  }

  #send<T>(name: string, request: Request): Promise<T> {
    const entry = new SingleReply<T>(name)
    this.#outbox.add(request, entry)
    return entry.promise
  }

  /** The end of a SET. Most have the same ttl as the one before. */
  #suffixFor(ttl: number): string {
    if (ttl !== this.#ttl) {
      this.#ttl = ttl
      this.#ttlSuffix = px + bulkString(String(ttl)) + lineEnd
    }
    return this.#ttlSuffix
  }
}
