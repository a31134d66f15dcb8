import { CacheError, channels, type ErrorEvent } from '@stowage/core'
import { Deferred } from '@stowage/core/internal'
import type { Redis } from 'ioredis'
import {
  type BulkString,
  type CommandClient,
  SetFailures,
  type SetOptions,
} from './command-client.ts'
import { isUntraced, type QueueEntry, ReplyQueue } from './ioredis-internals.ts'
import {
  bulkString,
  FlushScheduler,
  lineEnd,
  type Request,
  RequestWriter,
  requestHeader,
} from './request-writer.ts'
import { capabilitiesOf } from './server.ts'

const getHeader = requestHeader('GET', 1)
const setHeader = requestHeader('SET', 2)
const setWithTtlHeader = requestHeader('SET', 4)
const addHeader = requestHeader('SET', 3)
const addWithTtlHeader = requestHeader('SET', 5)
const pexpireHeader = requestHeader('PEXPIRE', 2)
const pttlHeader = requestHeader('PTTL', 1)
const nx = bulkString('NX')
const px = bulkString('PX')
const noArguments: readonly never[] = []

/**
 * Sends the frequent commands of the store without the command objects of ioredis: encoded in advance, in one write per
 * turn of the event loop, with minimal entries in the queue of the client. The client does all the rest: it connects,
 * reconnects, and rejects what is in the queue when the connection is lost.
 */
export class DirectClient implements CommandClient {
  readonly #client: Redis
  readonly #writer = new RequestWriter()
  readonly #scheduler: FlushScheduler
  /** The queue of the last connection on which it could be used. */
  #queue: ReplyQueue | undefined
  #opening: Promise<void> | undefined
  #hasFailed = false
  /** The requests of the turn, and the entry of each command. */
  #requests: Request[] = []
  #entries: QueueEntry[] = []
  #ttl = 0
  #ttlSuffix = ''

  constructor(client: Redis) {
    this.#client = client
    this.#scheduler = new FlushScheduler(this.flush)
  }

  /** Whether it can be used now. Otherwise it is opened, and the commands have to be sent with the client itself. */
  tryUse(): boolean {
    if (this.#queue?.isUsable === true) return true
    // Before the command that the client itself sends next.
    this.flush()
    void this.open()
    return false
  }

  /** Whether ioredis works differently than expected, so that it never becomes available. */
  get hasFailed(): boolean {
    return this.#hasFailed
  }

  /**
   * Must be called once the client is connected: makes it available, unless a tool traces the commands of the client. If
   * ioredis works differently than expected, the reason is published on `stowage:error`, once.
   */
  open(): Promise<void> | undefined {
    if (this.#hasFailed || !isUntraced(this.#client)) return undefined
    this.#opening ??= this.#openQueue()
    return this.#opening
  }

  async #openQueue(): Promise<void> {
    try {
      this.#queue = await ReplyQueue.open(this.#client)
      if (this.#queue !== undefined) await capabilitiesOf(this.#client).known
    } catch (cause) {
      this.#hasFailed = true
      publishFailure(cause as Error)
    } finally {
      this.#opening = undefined
    }
  }

  getBuffer(key: string): Promise<BulkString | null> {
    return this.#sendBatched('get', getHeader, [key])
  }

  mgetBuffer(keys: string[]): Promise<(BulkString | null)[]> {
    return this.#sendBatched('mget', requestHeader('MGET', keys.length), keys)
  }

  set(key: string, value: BulkString, ...options: SetOptions): Promise<'OK'> {
    const args = [key, value]
    const [first, ttl, condition] = options
    if (first === 'NX') return this.#add(addHeader, args, nx + lineEnd)
    if (ttl === undefined) return this.#sendBatched('set', setHeader, args)
    const suffix = this.#suffixFor(ttl)
    if (condition === undefined) return this.#sendBatched('set', setWithTtlHeader, args, suffix)
    return this.#add(addWithTtlHeader, args, nx + suffix)
  }

  setEach(pairs: readonly BulkString[], ttl: number): Promise<void> {
    const suffix = this.#suffixFor(ttl)
    const counter = new ReplyCounter('set', pairs.length / 2)
    this.#requests.push({ header: setWithTtlHeader, args: pairs, suffix, argsPerCommand: 2 })
    for (let count = 0; count < counter.count; count++) this.#entries.push(counter)
    this.#scheduler.flushAfterCallback()
    return counter.promise
  }

  mset(pairs: BulkString[]): Promise<'OK'> {
    return this.#sendBatched('set', requestHeader('MSET', pairs.length), pairs)
  }

  unlink(...keys: string[]): Promise<number> {
    return this.#send('unlink', requestHeader('UNLINK', keys.length), keys)
  }

  pexpire(key: string, ttl: number): Promise<number> {
    return this.#send('pexpire', pexpireHeader, [key, String(ttl)])
  }

  pttl(key: string): Promise<number> {
    return this.#send('pttl', pttlHeader, [key])
  }

  evalsha(digest: string, keyCount: number, ...args: BulkString[]): Promise<unknown> {
    const header = requestHeader('EVALSHA', args.length + 2)
    return this.#send('evalsha', header, [digest, String(keyCount), ...args])
  }

  call(command: string, ...args: BulkString[]): Promise<unknown> {
    return this.#send(command.toLowerCase(), requestHeader(command, args.length), args)
  }

  multi(commands: unknown[][]): ReturnType<CommandClient['multi']> {
    return this.#ordinary.multi(commands)
  }

  eval(source: string, keyCount: number, ...args: BulkString[]): Promise<unknown> {
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

  nodeFor(): Redis {
    return this.#client
  }

  /** Sends the requests that wait for the end of the turn. */
  readonly flush = (): void => {
    if (this.#entries.length === 0) return
    const requests = this.#requests
    const entries = this.#entries
    this.#requests = []
    this.#entries = []
    const queue = this.#queue
    if (queue?.expect(entries)) this.#writer.write(requests, queue.stream)
    else for (const entry of entries) entry.reject(new Error('the connection was lost'))
  }

  /** The client, for a command that has to follow the earlier ones. */
  get #ordinary(): Redis {
    this.flush()
    return this.#client
  }

  /** SET with NX replies OK, or null if the key exists. */
  async #add(header: string, args: readonly BulkString[], suffix: string): Promise<'OK'> {
    const reply = await this.#send<BulkString | null>('set', header, args, suffix)
    return (reply === null ? null : 'OK') as 'OK'
  }

  #send<T>(
    name: string,
    header: string,
    args: readonly BulkString[],
    suffix: string = lineEnd,
  ): Promise<T> {
    const isBusy = this.#queue?.isEmpty === false
    const entry = new SingleReply<T>(name)
    this.#requests.push({ header, args, suffix, argsPerCommand: args.length })
    this.#entries.push(entry)
    this.#scheduler.add(isBusy)
    return entry.promise
  }

  /** Sends a request that has waited for the end of a turn already: it is written when this callback ends. */
  #sendBatched<T>(
    name: string,
    header: string,
    args: readonly BulkString[],
    suffix: string = lineEnd,
  ): Promise<T> {
    const entry = new SingleReply<T>(name)
    this.#requests.push({ header, args, suffix, argsPerCommand: args.length })
    this.#entries.push(entry)
    this.#scheduler.flushAfterCallback()
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

/** A request with one reply, to which the promise resolves. */
export class SingleReply<T> extends Deferred<T> implements QueueEntry {
  readonly command: QueueEntry = this as unknown as QueueEntry
  readonly name: string
  readonly args: readonly never[] = noArguments

  constructor(name: string) {
    super()
    this.name = name
  }
}

/** Requests for several keys, whose replies are only counted. It is in the queue once per request. */
export class ReplyCounter implements QueueEntry {
  readonly command: QueueEntry = this
  readonly name: string
  readonly args: readonly never[] = noArguments
  readonly count: number
  readonly #result = new Deferred<void>()
  #received = 0
  #failures: Map<number, unknown> | undefined

  constructor(name: string, count: number) {
    this.name = name
    this.count = count
  }

  get promise(): Promise<void> {
    return this.#result.promise
  }

  resolve(): void {
    this.#received++
    if (this.#received === this.count) this.#settle()
  }

  reject(error: unknown): void {
    this.#failures ??= new Map()
    this.#failures.set(this.#received, error)
    this.resolve()
  }

  #settle(): void {
    if (this.#failures === undefined) this.#result.resolve()
    else this.#result.reject(new SetFailures(this.#failures))
  }
}

function publishFailure(cause: Error): void {
  if (!channels.error.hasSubscribers) return
  const message = `redis: this version of ioredis works differently than expected: ${cause.message}. Its public methods are used instead, which take more time. Install a version that the README of @stowage/redis names.`
  const error = new CacheError('ERR_CACHE_UNSUPPORTED', message, { store: 'redis', cause })
  channels.error.publish({ cache: '', store: 'redis', key: '', error } satisfies ErrorEvent)
}
