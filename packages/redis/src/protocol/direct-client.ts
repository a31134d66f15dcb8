import { CacheError, channels, type ErrorEvent } from '@stowage/core'
import type { Redis } from 'ioredis'
import { capabilitiesOf } from './capabilities.ts'
import type { Argument, CommandClient, SetOptions } from './command-client.ts'
import { FlushScheduler } from './flush-scheduler.ts'
import { isUntraced, type QueueEntry, ReplyQueue } from './ioredis-internals.ts'
import { ReplyCounter, SingleReply } from './replies.ts'
import { bulkString, lineEnd, type Request, RequestWriter, requestHeader } from './request.ts'

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
 * reconnects, and rejects what is in the queue when the connection is lost.
 */
export class DirectClient implements CommandClient {
  readonly #client: Redis
  readonly #writer = new RequestWriter()
  readonly #scheduler = new FlushScheduler(() => this.flush())
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
  }

  /** Whether it can be used now. Otherwise the commands have to be sent with the client itself. */
  get isAvailable(): boolean {
    if (this.#queue?.isUsable === true) return true
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

  getBuffer(key: string): Promise<Argument | null> {
    const entry = new SingleReply<Argument | null>('get')
    this.#addBatched(single(getHeader, [key]), entry)
    return entry.promise
  }

  mgetBuffer(keys: string[]): Promise<(Argument | null)[]> {
    const entry = new SingleReply<(Argument | null)[]>('mget')
    this.#addBatched(single(requestHeader('MGET', keys.length), keys), entry)
    return entry.promise
  }

  set(key: string, value: Argument, ...options: SetOptions): Promise<'OK'> {
    const [first, ttl, isNew] = options
    if (first === 'NX') return this.#add(single(addHeader, [key, value], nx + lineEnd))
    if (ttl === undefined) return this.#set(single(setHeader, [key, value]))
    const suffix = this.#suffixFor(ttl)
    if (isNew === undefined) return this.#set(single(setWithTtlHeader, [key, value], suffix))
    return this.#add(single(addWithTtlHeader, [key, value], nx + suffix))
  }

  setEach(pairs: readonly Argument[], ttl: number): Promise<void> {
    const suffix = this.#suffixFor(ttl)
    const counter = new ReplyCounter('set', pairs.length / 2)
    for (let count = 1; count < counter.count; count++) this.#entries.push(counter)
    this.#addBatched({ header: setWithTtlHeader, args: pairs, suffix, argsPerCommand: 2 }, counter)
    return counter.promise
  }

  mset(pairs: Argument[]): Promise<'OK'> {
    return this.#set(single(requestHeader('MSET', pairs.length), pairs))
  }

  unlink(...keys: string[]): Promise<number> {
    return this.#send('unlink', single(requestHeader('UNLINK', keys.length), keys))
  }

  pexpire(key: string, ttl: number): Promise<number> {
    return this.#send('pexpire', single(pexpireHeader, [key, String(ttl)]))
  }

  pttl(key: string): Promise<number> {
    return this.#send('pttl', single(pttlHeader, [key]))
  }

  evalsha(digest: string, keyCount: number, ...args: Argument[]): Promise<unknown> {
    const header = requestHeader('EVALSHA', args.length + 2)
    return this.#send('evalsha', single(header, [digest, String(keyCount), ...args]))
  }

  call(command: string, ...args: Argument[]): Promise<unknown> {
    return this.#send(command.toLowerCase(), single(requestHeader(command, args.length), args))
  }

  multi(commands: unknown[][]): ReturnType<CommandClient['multi']> {
    return this.#ordinary.multi(commands)
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

  nodeFor(): Redis {
    return this.#client
  }

  /** Sends the requests that wait for the end of the turn. */
  flush(): void {
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

  #set(request: Request): Promise<'OK'> {
    const entry = new SingleReply<'OK'>('set')
    this.#addBatched(request, entry)
    return entry.promise
  }

  /** SET with NX replies OK, or null if the key exists. */
  async #add(request: Request): Promise<'OK'> {
    const reply = await this.#send<Argument | null>('set', request)
    return (reply === null ? null : 'OK') as 'OK'
  }

  #send<T>(name: string, request: Request): Promise<T> {
    const entry = new SingleReply<T>(name)
    this.#requests.push(request)
    this.#entries.push(entry)
    this.#scheduler.add(this.#queue?.isEmpty === false)
    return entry.promise
  }

  /** Adds a request that has waited for the end of a turn already: it is sent when this callback ends. */
  #addBatched(request: Request, entry: QueueEntry): void {
    this.#requests.push(request)
    this.#entries.push(entry)
    this.#scheduler.reached()
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

function single(header: string, args: readonly Argument[], suffix: string = lineEnd): Request {
  return { header, args, suffix, argsPerCommand: args.length }
}

function publishFailure(cause: Error): void {
  if (!channels.error.hasSubscribers) return
  const message = `redis: this version of ioredis works differently than expected: ${cause.message}. Its public methods are used instead, which take more time. Install a version that the README of @stowage/redis names.`
  const error = new CacheError('ERR_CACHE_UNSUPPORTED', message, { store: 'redis', cause })
  channels.error.publish({ cache: '', store: 'redis', key: '', error } satisfies ErrorEvent)
}
