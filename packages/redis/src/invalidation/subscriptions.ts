import { inspect } from 'node:util'
import { CacheError, type InvalidationListener } from '@stowage/core'
import { Lifecycle } from '@stowage/core/driver'
import type { Redis } from 'ioredis'
import { OwnConnection } from '../connection/connection.ts'
import { translate } from '../redis-errors.ts'
import {
  addressOf,
  assertClusterOnly,
  type RedisOptions,
  type ResolvedOptions,
  replicaOptions,
  resolveOptions,
  serverOptions,
} from '../redis-options.ts'

/** A silent connection looks like one on which nothing changes, so it is asked this often. */
const heartbeatMs = 1_000

/**
 * Where the servers are, as for the store whose changes are to be heard of. Each server that is read from has to be
 * listened to: the primary tells of a change before a replica has applied it, and what the replica answers in between
 * is the old value. So `replicas` are given here too. Those that the store finds by itself, or behind a name that
 * leads to several, cannot be listened to: what is to be kept is then read with `consistency: 'strong'`.
 */
export interface BusConnectionOptions
  extends Pick<
    RedisOptions,
    | 'url'
    | 'username'
    | 'password'
    | 'database'
    | 'tls'
    | 'credentials'
    | 'timeout'
    | 'connectTimeout'
    | 'clusterNodes'
    | 'sentinels'
    | 'sentinelName'
    | 'sentinelPassword'
    | 'replicas'
  > {}

/**
 * Version 2 of the protocol is the one in which ioredis passes on what the server tells unasked. Subscriptions are
 * made here each time, where it is seen whether they were.
 */
const subscribing = { protocol: 2, autoResubscribe: false } as const

/** How a bus listens to one server, from the time its connection is up. */
type Listen = (client: Redis) => Promise<unknown>

/** The connections to all servers that tell of changes, and those who are to be told. */
export class Listening {
  readonly #ears: readonly Ear[]
  readonly #listeners = new Set<{ readonly told: InvalidationListener }>()
  readonly #lifecycle: Lifecycle
  #active = false

  constructor(
    name: string,
    connections: readonly OwnConnection[],
    listen: Listen,
    hear: (message: unknown) => void,
  ) {
    this.#lifecycle = new Lifecycle(name)
    for (const { client } of connections)
      client.on('messageBuffer', (_: Buffer, message: unknown) => hear(message))
    this.#ears = connections.map((each) => new Ear(each, listen, () => this.#turned()))
  }

  get active(): boolean {
    return this.#active
  }

  assertOpen(operation: string): void {
    this.#lifecycle.assertOpen(operation)
  }

  async subscribe(told: InvalidationListener): Promise<() => void> {
    this.assertOpen('subscribe')
    const listener = { told }
    const forget = () => void this.#listeners.delete(listener)
    this.#listeners.add(listener)
    try {
      await Promise.all(this.#ears.map((ear) => ear.open()))
      this.assertOpen('subscribe')
    } catch (error) {
      forget()
      throw error
    }
    return forget
  }

  tell(keys: readonly string[] | undefined): void {
    for (const { told } of this.#listeners) {
      try {
        told(keys)
      } catch (cause) {
        const detail = inspect(cause)
        process.emitWarning('A listener of an invalidation bus has failed.', { detail })
      }
    }
  }

  /** Runs `before` first, while listening goes on. */
  close(before?: () => Promise<unknown>): Promise<void> {
    return this.#lifecycle.close(async () => {
      await before?.()
      await Promise.all(this.#ears.map((ear) => ear.close()))
      this.#listeners.clear()
    })
  }

  #turned(): void {
    this.#active = this.#ears.every(({ active }) => active)
    this.tell(undefined)
  }
}

/** Hears of the changes of one server, as long as that is connected. */
class Ear {
  readonly #connection: OwnConnection
  readonly #listen: Listen
  /** Called when it has begun to hear, and when it no longer does. */
  readonly #turned: () => void
  #heartbeat: NodeJS.Timeout | undefined
  #beginning: Promise<void> | undefined
  active = false

  constructor(connection: OwnConnection, listen: Listen, turned: () => void) {
    this.#connection = connection
    this.#listen = listen
    this.#turned = turned
    connection.onChange((up) => (up ? this.#up() : this.#lost()))
  }

  /** Resolves when it hears. */
  async open(): Promise<void> {
    await connected(this.#connection, 'subscribe')
    await this.#begin()
  }

  async close(): Promise<void> {
    await this.#connection.close()
    this.#lost()
  }

  #up(): void {
    this.#heartbeat ??= setInterval(() => this.#beat(), heartbeatMs).unref()
    this.#begin().catch(() => {})
  }

  #lost(): void {
    clearInterval(this.#heartbeat)
    this.#heartbeat = undefined
    this.#beginning = undefined
    if (!this.active) return
    this.active = false
    this.#turned()
  }

  /** The watchdog of the connection ends it when there is no answer. A server that refused may have changed its mind. */
  #beat(): void {
    const asked = this.active
      ? send(this.#connection, 'subscribe', (client) => client.ping())
      : this.#begin()
    asked.catch(() => {})
  }

  #begin(): Promise<void> {
    this.#beginning ??= this.#attempt()
    return this.#beginning
  }

  async #attempt(): Promise<void> {
    try {
      await send(this.#connection, 'subscribe', this.#listen)
    } catch (error) {
      this.#beginning = undefined
      throw error
    }
    this.active = true
    this.#turned()
  }
}

/** Sends a command as soon as there is a connection. */
export async function send<T>(
  connection: OwnConnection,
  operation: string,
  command: (client: Redis) => Promise<T>,
): Promise<T> {
  await connected(connection, operation)
  connection.begin()
  try {
    return await command(connection.client)
  } catch (error) {
    throw translate(connection.failed(error), operation)
  } finally {
    connection.end()
  }
}

async function connected(connection: OwnConnection, operation: string): Promise<void> {
  try {
    await connection.ready()
  } catch (error) {
    throw translate(error, operation)
  }
}

/** To every server that is read from. In a cluster, where a message reaches every node, to whichever answers. */
export function connectionsOf(
  options: BusConnectionOptions,
  resolved: ResolvedOptions,
): OwnConnection[] {
  const { clusterNodes = [], replicas = [] } = options
  if (clusterNodes.length > 0) return [anyNode(options, resolved)]
  const servers = [serverOptions(options), ...replicas.map((each) => replicaOptions(options, each))]
  return servers.map((server) => new OwnConnection({ ...server, ...subscribing }, resolved))
}

/** A connection to publish on: one that listens takes no other commands in version 2 of the protocol. */
export function publisherOf(
  options: BusConnectionOptions,
  resolved: ResolvedOptions,
): OwnConnection {
  const { clusterNodes = [] } = options
  if (clusterNodes.length > 0) return anyNode(options, resolved)
  return new OwnConnection(serverOptions(options), resolved)
}

/** A connection to one of the nodes, and after each failure to the next. */
function anyNode(options: BusConnectionOptions, resolved: ResolvedOptions): OwnConnection {
  assertClusterOnly(options)
  const nodes = (options.clusterNodes ?? []).map((text) => addressOf(text, 'a node of the cluster'))
  const server = { ...serverOptions(options), ...nodes[0], ...subscribing }
  const connection = new OwnConnection(server, resolved)
  let turn = 0
  connection.client.on('close', () => {
    turn = (turn + 1) % nodes.length
    Object.assign(connection.client.options, nodes[turn])
  })
  return connection
}

/** @throws CacheError `ERR_CACHE_CONFIG` */
export function resolveListening(options: BusConnectionOptions): ResolvedOptions {
  if ((options as RedisOptions).client === undefined) return resolveOptions(options)
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    'redis: a bus makes its own connections, one that listens takes no other commands. Give url instead of client.',
  )
}
