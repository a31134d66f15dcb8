import { InFlight } from '@stowage/core/driver'
import type { Connection } from '../connection/connection.ts'
import { translate } from '../memcached-errors.ts'
import type { Reply } from '../protocol/protocol.ts'
import type { Node } from './node.ts'

/** Where the node of a key comes from. */
export interface Router {
  readonly all: readonly Node[]
  /** `undefined` before the nodes are known. */
  of(key: string): Node | undefined
  /** Resolves when they are; settles in bounded time. */
  known(): Promise<void>
  close(): Promise<void>
}

type Command<T> = (connection: Connection) => Promise<T>

/** Keys that live on one node, and where they stand in the list they come from. */
export interface Group {
  readonly keys: string[]
  readonly indexes: number[]
}

/** Sends requests to the nodes of their keys, and knows of the calls that are under way. */
export class Dispatch {
  readonly #router: Router
  /** Calls that are not just one request. */
  readonly #underWay = new InFlight()

  constructor(router: Router) {
    this.#router = router
  }

  get nodes(): readonly Node[] {
    return this.#router.all
  }

  /** Sends a request to the node of the key, at once where that is up. */
  one<T>(operation: string, key: string, command: Command<T>): Promise<T> {
    const connection = this.#router.of(key)?.connection
    if (connection !== undefined) return command(connection)
    return this.tracked(this.#later(operation, key, command))
  }

  /** Sends each node the keys that live there. All have settled when one has failed. */
  groups(
    operation: string,
    keys: readonly string[],
    command: (connection: Connection, group: Group) => Promise<void>,
  ): Promise<void> {
    return this.#toNodes(operation, () =>
      [...this.#groupsOf(keys)].map(async ([node, group]) =>
        command(node.connection ?? (await node.ready()), group),
      ),
    )
  }

  /** Sends a request to every node. */
  each(operation: string, command: Command<void>): Promise<void> {
    return this.#toNodes(operation, () =>
      this.nodes.map(async (node) => command(await node.ready())),
    )
  }

  /** What `read` makes of the items under the keys, in their order; `undefined` where there is none. */
  async many<T>(
    operation: string,
    keys: readonly string[],
    read: (reply: Reply) => T | undefined,
  ): Promise<(T | undefined)[]> {
    const found = new Array<T | undefined>(keys.length).fill(undefined)
    await this.groups(operation, keys, (connection, { keys: own, indexes }) =>
      connection.getMany(operation, own, (reply, index) => {
        found[indexes[index] as number] = read(reply)
      }),
    )
    return found
  }

  /** A call that takes more than one step: `close()` waits for it. */
  async tracked<T>(call: Promise<T>): Promise<T> {
    this.#underWay.begin()
    try {
      return await call
    } finally {
      this.#underWay.end()
    }
  }

  async close(): Promise<void> {
    await this.#underWay.idle()
    await this.#router.close()
  }

  async #later<T>(operation: string, key: string, command: Command<T>): Promise<T> {
    try {
      if (this.#router.of(key) === undefined) await this.#router.known()
      const connection = await (this.#router.of(key) as Node).ready()
      return await command(connection)
    } catch (error) {
      throw translate(error, operation, key)
    }
  }

  #toNodes(operation: string, send: () => Promise<void>[]): Promise<void> {
    const sent = async () => {
      try {
        if (this.nodes.length === 0) await this.#router.known()
        await settled(send())
      } catch (error) {
        throw translate(error, operation)
      }
    }
    return this.tracked(sent())
  }

  #groupsOf(keys: readonly string[]): Map<Node, Group> {
    const groups = new Map<Node, Group>()
    for (const [index, key] of keys.entries()) {
      const node = this.#router.of(key) as Node
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

/** Waits for all, then fails if one has. */
export async function settled(calls: readonly Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(calls)
  await Promise.all(calls)
}
