import { BatchError, InFlight, type KeyPlacement } from '@stowage/core/driver'
import { areRequestsTraced, traceRequest } from '@stowage/core/internal'
import type { Connection } from '../connection/connection.ts'
import type { Failures } from '../connection/pending-requests.ts'
import { errorOfKey, translate } from '../memcached-errors.ts'
import { nodeName } from '../node-address.ts'
import type { Reply } from '../protocol/protocol.ts'
import type { Node } from './node.ts'

/** Maps keys to nodes. */
export interface Router {
  readonly nodes: readonly Node[]
  /** `undefined` until the nodes are known, and if there are none. */
  nodeFor(key: string): Node | undefined
  /** `undefined` if the nodes are not those of a fixed ring. */
  readonly placement?: KeyPlacement | undefined
  /** Resolves when the nodes are known. Settles in bounded time. */
  ready(): Promise<void>
  close(): Promise<void>
}

type Command<T> = (connection: Connection) => Promise<T>

/** The keys of one node, and their indexes in the caller's list. */
export interface KeyGroup {
  readonly keys: string[]
  readonly indexes: number[]
}

/** Sends a command for the keys of one node. Resolves to the errors of single keys, by their index in the group. */
type GroupCommand = (connection: Connection, group: KeyGroup) => Promise<Failures | undefined>

/** Sends commands to the nodes of their keys, and counts the calls in flight. */
export class Dispatcher {
  readonly #router: Router
  /** Calls that consist of more than one request. Each connection counts its own requests. */
  readonly #inFlight = new InFlight()

  constructor(router: Router) {
    this.#router = router
  }

  get nodes(): readonly Node[] {
    return this.#router.nodes
  }

  /** Sends a command to the node of the key, without a wait if the node is connected. */
  send<T>(operation: string, key: string, command: Command<T>): Promise<T> {
    const node = this.#router.nodeFor(key)
    const connection = node?.connection
    if (node !== undefined && connection !== undefined)
      return sendOn(node, connection, operation, 1, command)
    return this.track(this.#connectAndSend(operation, key, (node) => node.connect(), command))
  }

  /** The same on a connection with the meta protocol. */
  sendMeta<T>(operation: string, key: string, command: Command<T>): Promise<T> {
    const connect = (node: Node) => node.connectMeta(operation, key)
    return this.track(this.#connectAndSend(operation, key, connect, command))
  }

  /** Groups the keys by node and sends each node a command. Resolves to the errors of single keys, by their index. */
  sendGroups(
    operation: string,
    keys: readonly string[],
    command: GroupCommand,
  ): Promise<Failures | undefined> {
    return this.track(this.#sendGroups(operation, keys, command))
  }

  /** Pings every node, also those that were down a moment ago. */
  pingAll(): Promise<void> {
    const ping = (connection: Connection) => connection.noop('ping')
    return this.broadcast('ping', ping, (node) => node.reconnect())
  }

  /** Sends a command to every node. */
  broadcast(
    operation: string,
    command: Command<void>,
    connect: (node: Node) => Promise<Connection> = (node) => node.connect(),
  ): Promise<void> {
    const sendAll = async () => {
      try {
        if (this.nodes.length === 0) await this.#router.ready()
        const calls = this.nodes.map(async (node) => {
          const connection = await connect(node)
          return sendOn(node, connection, operation, 0, command)
        })
        // Rejects only when every node has replied.
        await Promise.allSettled(calls)
        await Promise.all(calls)
      } catch (error) {
        throw translate(error, operation)
      }
    }
    return this.track(sendAll())
  }

  /** Sends a command to the first node that replies. */
  sendToAny<T>(operation: string, command: Command<T>): Promise<T> {
    const sendToFirst = async () => {
      let failure: unknown
      if (this.nodes.length === 0) await this.#router.ready().catch((error) => (failure = error))
      for (const node of this.nodes) {
        try {
          const connection = await node.connect()
          return await sendOn(node, connection, operation, 0, command)
        } catch (error) {
          failure ??= error
        }
      }
      throw translate(failure, operation)
    }
    return this.track(sendToFirst())
  }

  /** Reads the items of all keys into `results`, in the order of the keys. Resolves to the errors of single keys. */
  getMany<T>(
    operation: string,
    keys: readonly string[],
    results: T[],
    read: (reply: Reply) => T,
  ): Promise<Failures | undefined> {
    return this.sendGroups(operation, keys, (connection, group) =>
      connection.getMany(operation, group.keys, (reply, index) => {
        results[group.indexes[index] as number] = read(reply)
      }),
    )
  }

  /** Counts a call of several requests as in flight, so that `close()` waits for it. */
  async track<T>(call: Promise<T>): Promise<T> {
    this.#inFlight.begin()
    try {
      return await call
    } finally {
      this.#inFlight.end()
    }
  }

  async close(): Promise<void> {
    await this.#inFlight.idle()
    await this.#router.close()
  }

  async #connectAndSend<T>(
    operation: string,
    key: string,
    connect: (node: Node) => Promise<Connection>,
    command: Command<T>,
  ): Promise<T> {
    try {
      if (this.#router.nodeFor(key) === undefined) await this.#router.ready()
      const [node, connection] = await this.#connectFor(key, connect)
      return await sendOn(node, connection, operation, 1, command)
    } catch (error) {
      throw translate(error, operation, key)
    }
  }

  /** Connects to the node of a key. If that is removed from the cluster meanwhile, connects to the one that replaces it. */
  async #connectFor(
    key: string,
    connect: (node: Node) => Promise<Connection>,
  ): Promise<[Node, Connection]> {
    for (;;) {
      const node = this.#router.nodeFor(key)
      if (node === undefined) throw noNode()
      try {
        return [node, await connect(node)]
      } catch (error) {
        if (!wasRemoved(node) || this.#router.nodeFor(key) === node) throw error
      }
    }
  }

  async #sendGroups(
    operation: string,
    keys: readonly string[],
    command: GroupCommand,
  ): Promise<Failures | undefined> {
    let failures: Map<number, unknown> | undefined
    const fail = (index: number, error: unknown) => {
      failures ??= new Map()
      failures.set(index, translate(error, operation, keys[index]))
    }
    const failAll = ({ indexes }: KeyGroup, error: unknown) => {
      for (const index of indexes) fail(index, error)
    }
    const sendAll = (groups: ReadonlyMap<Node | undefined, KeyGroup>) =>
      Promise.all([...groups].map(([node, group]) => connectAndSend(node, group)))
    const connectAndSend = async (node: Node | undefined, group: KeyGroup): Promise<unknown> => {
      if (node === undefined) return failAll(group, noNode())
      let connection: Connection
      try {
        connection = node.connection ?? (await node.connect())
      } catch (error) {
        const others = this.#groupByNode(group.keys, group.indexes)
        return wasRemoved(node) && !others.has(node) ? sendAll(others) : failAll(group, error)
      }
      return send(node, connection, group)
    }
    const send = async (node: Node, connection: Connection, group: KeyGroup) => {
      try {
        const groupFailures = await sendOn(node, connection, operation, group.keys.length, (each) =>
          command(each, group),
        )
        for (const [index, error] of groupFailures ?? [])
          fail(group.indexes[index] as number, error)
      } catch (error) {
        failAll(group, error)
      }
    }
    try {
      if (this.nodes.length === 0) await this.#router.ready()
    } catch (error) {
      throw translate(error, operation)
    }
    await sendAll(this.#groupByNode(keys))
    return failures
  }

  /** @param indexes those of the keys in the caller's list */
  #groupByNode(
    keys: readonly string[],
    indexes: readonly number[] = [...keys.keys()],
  ): Map<Node | undefined, KeyGroup> {
    const groups = new Map<Node | undefined, KeyGroup>()
    for (const [position, key] of keys.entries()) {
      const index = indexes[position] as number
      const node = this.#router.nodeFor(key)
      const group = groups.get(node)
      if (group === undefined) groups.set(node, { keys: [key], indexes: [index] })
      else {
        group.keys.push(key)
        group.indexes.push(index)
      }
    }
    return groups
  }
}

/** Sends a request, and publishes it if somebody subscribes to requests. */
function sendOn<T>(
  node: Node,
  connection: Connection,
  operation: string,
  keyCount: number,
  command: Command<T>,
): Promise<T> {
  if (!areRequestsTraced()) return command(connection)
  return sendTraced(node, connection, operation, keyCount, command)
}

function sendTraced<T>(
  { address }: Node,
  connection: Connection,
  operation: string,
  keyCount: number,
  command: Command<T>,
): Promise<T> {
  const request = { store: 'memcached', operation, keyCount, attempt: 1, server: nodeName(address) }
  return traceRequest({ ...request, isInstrumented: false }, () => command(connection))
}

/** Rejects with the outcome of each key if some of them failed. `results` has those of the others. */
export function throwFailures(
  operation: string,
  keys: readonly string[],
  failures: Failures | undefined,
  results: readonly unknown[] = [],
): void {
  if (failures === undefined || failures.size === 0) return
  const outcomes = keys.map((key, index): PromiseSettledResult<unknown> => {
    const failure = failures.get(index)
    return failure === undefined
      ? { status: 'fulfilled', value: results[index] }
      : { status: 'rejected', reason: errorOfKey(failure, operation, key) }
  })
  throw new BatchError(outcomes)
}

/** Whether a node was removed from the cluster. Nothing was sent to it, if it could not be connected. */
function wasRemoved({ state }: Node): boolean {
  return state === 'closed'
}

function noNode(): Error {
  return new Error('all nodes are down')
}
