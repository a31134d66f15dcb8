import { InFlight } from '@stowage/core/driver'
import type { Connection } from '../connection/connection.ts'
import { translate } from '../memcached-errors.ts'
import type { Reply } from '../protocol/protocol.ts'
import type { Node } from './node.ts'

/** Maps keys to nodes. */
export interface Router {
  readonly nodes: readonly Node[]
  /** `undefined` until the nodes are known. */
  nodeFor(key: string): Node | undefined
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
    const connection = this.#router.nodeFor(key)?.connection
    if (connection !== undefined) return command(connection)
    return this.track(this.#connectAndSend(operation, key, command))
  }

  /** Groups the keys by node and sends each node a command. Settles after all of them, with the first error. */
  sendGroups(
    operation: string,
    keys: readonly string[],
    command: (connection: Connection, group: KeyGroup) => Promise<void>,
  ): Promise<void> {
    return this.#sendToNodes(operation, () =>
      [...this.#groupByNode(keys)].map(async ([node, group]) =>
        command(node.connection ?? (await node.connect()), group),
      ),
    )
  }

  /** Sends a command to every node. */
  broadcast(operation: string, command: Command<void>): Promise<void> {
    return this.#sendToNodes(operation, () =>
      this.nodes.map(async (node) => command(await node.connect())),
    )
  }

  /** Reads the items of all keys. Returns the results of `read` in the order of the keys; `undefined` for a miss. */
  async getMany<T>(
    operation: string,
    keys: readonly string[],
    read: (reply: Reply) => T | undefined,
  ): Promise<(T | undefined)[]> {
    const results = new Array<T | undefined>(keys.length).fill(undefined)
    await this.sendGroups(operation, keys, (connection, group) =>
      connection.getMany(operation, group.keys, (reply, index) => {
        results[group.indexes[index] as number] = read(reply)
      }),
    )
    return results
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

  async #connectAndSend<T>(operation: string, key: string, command: Command<T>): Promise<T> {
    try {
      if (this.#router.nodeFor(key) === undefined) await this.#router.ready()
      const connection = await (this.#router.nodeFor(key) as Node).connect()
      return await command(connection)
    } catch (error) {
      throw translate(error, operation, key)
    }
  }

  #sendToNodes(operation: string, send: () => Promise<void>[]): Promise<void> {
    const sendAll = async () => {
      try {
        if (this.nodes.length === 0) await this.#router.ready()
        await settleAll(send())
      } catch (error) {
        throw translate(error, operation)
      }
    }
    return this.track(sendAll())
  }

  #groupByNode(keys: readonly string[]): Map<Node, KeyGroup> {
    const groups = new Map<Node, KeyGroup>()
    for (const [index, key] of keys.entries()) {
      const node = this.#router.nodeFor(key) as Node
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

/** Waits until all calls have settled, then rejects if one of them has. */
export async function settleAll(calls: readonly Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(calls)
  await Promise.all(calls)
}
