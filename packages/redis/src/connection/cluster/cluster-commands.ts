import { DeadlineError, Watchdog } from '@stowage/core/driver'
import slotOf from 'cluster-key-slot'
import type { Cluster, Redis } from 'ioredis'
import type { BulkString, CommandClient, SetOptions } from '../../protocol/command-client.ts'
import { DirectClient } from '../../protocol/direct-client.ts'
import { isUntraced } from '../../protocol/ioredis-internals.ts'
import { largeReplyDetector } from '../large-reply.ts'

/**
 * Sends the frequent commands directly to the master of their slot. The cluster client sends all others, and those that
 * the node redirects: it then learns the new owner of the slot.
 */
export class ClusterCommands implements CommandClient {
  readonly #cluster: Cluster
  readonly #client: CommandClient
  readonly #timeoutMs: number
  /** By `host:port`, as in the table of slots. */
  readonly #nodes = new Map<string, DirectNode>()
  readonly #directNodes = new WeakMap<Redis, DirectNode>()

  /** @param client the cluster client, which has the methods of a single server's client */
  constructor(cluster: Cluster, client: CommandClient, timeoutMs: number) {
    this.#cluster = cluster
    this.#client = client
    this.#timeoutMs = timeoutMs
    cluster.on('+node', (node: Redis) => this.#nodes.set(nameOf(node), this.directNode(node)))
    cluster.on('-node', (node: Redis) => {
      if (this.#nodes.get(nameOf(node)) === this.directNode(node)) this.#nodes.delete(nameOf(node))
    })
  }

  /** The same object for each call: the requests to a node have to stay in order. */
  directNode(node: Redis): DirectNode {
    let directNode = this.#directNodes.get(node)
    if (directNode === undefined) {
      directNode = new DirectNode(node, this.#timeoutMs)
      this.#directNodes.set(node, directNode)
    }
    return directNode
  }

  /** False if a tool traces the commands of the cluster client. */
  get isAvailable(): boolean {
    if (isUntraced(this.#cluster)) return true
    this.flush()
    return false
  }

  getBuffer(key: string): Promise<BulkString | null> {
    return this.#send(key, (client) => client.getBuffer(key))
  }

  mgetBuffer(keys: string[]): Promise<(BulkString | null)[]> {
    return this.#send(keys[0], (client) => client.mgetBuffer(keys))
  }

  set(key: string, value: BulkString, ...options: SetOptions): Promise<'OK'> {
    return this.#send(key, (client) => client.set(key, value, ...(options as ['PX', number])))
  }

  mset(pairs: BulkString[]): Promise<'OK'> {
    return this.#send(pairs[0] as string, (client) => client.mset(pairs))
  }

  unlink(...keys: string[]): Promise<number> {
    return this.#send(keys[0], (client) => client.unlink(...keys))
  }

  pexpire(key: string, ttl: number): Promise<number> {
    return this.#send(key, (client) => client.pexpire(key, ttl))
  }

  pttl(key: string): Promise<number> {
    return this.#send(key, (client) => client.pttl(key))
  }

  evalsha(digest: string, keyCount: number, ...args: BulkString[]): Promise<unknown> {
    return this.#send(args[0] as string, (client) => client.evalsha(digest, keyCount, ...args))
  }

  call(command: string, key: string, ...args: BulkString[]): Promise<unknown> {
    return this.#send(key, (client) => client.call(command, key, ...args))
  }

  multi(commands: unknown[][]): ReturnType<CommandClient['multi']> {
    this.flush()
    return this.#client.multi(commands)
  }

  eval(source: string, keyCount: number, ...args: BulkString[]): Promise<unknown> {
    this.flush()
    return this.#client.eval(source, keyCount, ...args)
  }

  scan(...args: Parameters<CommandClient['scan']>): Promise<[cursor: string, keys: string[]]> {
    return this.#client.scan(...args)
  }

  flushdb(mode: 'ASYNC'): Promise<'OK'> {
    this.flush()
    return this.#client.flushdb(mode)
  }

  ping(): Promise<string> {
    return this.#client.ping()
  }

  time(): Promise<(number | string)[]> {
    return this.#client.time()
  }

  nodeFor(key: string): Redis | Cluster {
    return this.#masterOf(key)?.client.nodeFor() ?? this.#cluster
  }

  /** Sends the requests that wait for the end of the turn. */
  flush(): void {
    for (const { client } of this.#nodes.values()) client.flush()
  }

  #send<T>(key: string | undefined, command: (client: CommandClient) => Promise<T>): Promise<T> {
    const node = this.#masterOf(key ?? '')
    if (node === undefined || !node.isAvailable || this.#cluster.status !== 'ready') {
      return command(this.#client)
    }
    return node.send(command).catch((error: Error) => {
      if (!isRedirection(error)) throw error
      return command(this.#client)
    })
  }

  #masterOf(key: string): DirectNode | undefined {
    const [master = ''] = this.#cluster.slots[slotOf(key)] ?? []
    return this.#nodes.get(master)
  }
}

/** A node as in the table of slots: `host:port`. */
export function nameOf({ options }: Redis): string {
  return `${options.host}:${options.port}`
}

/** TRYAGAIN: the keys are on two nodes while their slot is migrated. */
function isRedirection({ name, message }: Error): boolean {
  return name === 'ReplyError' && /^(MOVED|ASK|TRYAGAIN) /.test(message)
}

/** Sends commands to a node of a cluster directly. If a reply is overdue, the connection to the node is closed. */
class DirectNode {
  readonly client: DirectClient
  readonly #node: Redis
  readonly #watchdog: Watchdog
  #timedOut = false

  constructor(node: Redis, timeoutMs: number) {
    this.#node = node
    this.client = new DirectClient(node)
    this.#watchdog = new Watchdog(timeoutMs, () => this.#close(), largeReplyDetector(node))
  }

  get isAvailable(): boolean {
    return this.client.tryUse() && this.#node.status === 'ready'
  }

  async send<T>(command: (client: CommandClient) => Promise<T>): Promise<T> {
    this.#watchdog.begin()
    try {
      return await command(this.client)
    } catch (error) {
      // ioredis reports only that the connection was closed.
      throw this.#timedOut && (error as Error).name !== 'ReplyError' ? new DeadlineError() : error
    } finally {
      this.#watchdog.end()
    }
  }

  #close(): void {
    this.#timedOut = true
    this.#node.stream?.destroy(new DeadlineError())
  }
}
