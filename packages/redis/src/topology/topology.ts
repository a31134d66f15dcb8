import type { Consistency } from '@stowage/core'
import slotOf from 'cluster-key-slot'
import type { Connection } from '../connection/connection.ts'
import { readToken } from '../consistency/consistency-token.ts'
import type { SlotLayout } from './slot-layout.ts'

/** Keys per MGET, MSET or UNLINK: one command blocks the server while it runs. */
const keysPerCommand = 500

/** How long a server without replicas is assumed to have none. A new one first copies all data. */
const emptyTokenMs = 1_000

/** The servers, and which of them a command is sent to. */
export interface Topology {
  /** The connection to the server that `key` is written to, which has its newest value. */
  primary(key: string): Connection
  /**
   * A connection to a server that may serve a read of all `keys`: the primary, or a replica that is recent enough.
   * Servers in `failed` are skipped; `undefined` if none is left.
   */
  reader(
    keys: readonly string[],
    consistency?: Consistency,
    failed?: readonly Connection[],
  ): Connection | undefined
  /** Where to read keys that a reader does not have, if keys can move between servers without its knowledge. */
  fallbackReader?(reader: Connection, consistency?: Consistency): Connection | undefined
  /** A connection to each primary, for commands that concern all keys. */
  primaries(): Promise<readonly Connection[]>
  /**
   * A connection to the server whose clock is that of the backend: the same one for all processes, because the clocks of
   * servers differ.
   */
  clockServer(): Promise<Connection>
  /** Which slots each primary serves, if keys can move between primaries. */
  slotLayout?(): Promise<SlotLayout | undefined>
  /** Splits the keys into groups that one command can name. */
  writeGroups(keys: readonly string[]): string[][]
  /** The same for reads: also separates keys that only the primary can serve. */
  readGroups(keys: readonly string[], consistency?: Consistency): string[][]
  /** Must be called before a write, with `undefined` for all keys. Call the result once the write is settled. */
  beginWrite(keys: readonly string[] | undefined): (() => void) | undefined
  /** A token for everything that all processes have written so far. */
  consistencyToken(): Promise<string>
  /** Requires reads to include what the token of another process stands for. */
  observe(token: string): void
  /** Waits for the calls in flight, then closes all connections. */
  close(): Promise<void>
}

/** A single server. */
export class SingleTopology implements Topology {
  readonly #connection: Connection
  /** When to check again whether the server has replicas. */
  #emptyTokenUntil = 0

  constructor(connection: Connection) {
    this.#connection = connection
  }

  primary(): Connection {
    return this.#connection
  }

  reader(
    _keys: readonly string[],
    _consistency?: Consistency,
    failed: readonly Connection[] = [],
  ): Connection | undefined {
    return failed.includes(this.#connection) ? undefined : this.#connection
  }

  async primaries(): Promise<readonly Connection[]> {
    return [this.#connection]
  }

  async clockServer(): Promise<Connection> {
    return this.#connection
  }

  writeGroups(keys: readonly string[]): string[][] {
    return chunked(keys)
  }

  readGroups(keys: readonly string[]): string[][] {
    return chunked(keys)
  }

  beginWrite(): undefined {}

  async consistencyToken(): Promise<string> {
    if (performance.now() < this.#emptyTokenUntil) return ''
    const token = await readToken([this.#connection])
    if (token === '') this.#emptyTokenUntil = performance.now() + emptyTokenMs
    return token
  }

  observe(): void {}

  close(): Promise<void> {
    return this.#connection.close()
  }
}

/** Splits the keys into chunks for one command each. */
export function chunked(keys: readonly string[]): string[][] {
  const chunks: string[][] = []
  for (let start = 0; start < keys.length; start += keysPerCommand) {
    chunks.push(keys.slice(start, start + keysPerCommand))
  }
  return chunks
}

/** Groups by slot: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags */
export function groupedBySlot(keys: readonly string[]): string[][] {
  const bySlot = new Map<number, string[]>()
  for (const key of keys) {
    const slot = slotOf(key)
    const group = bySlot.get(slot)
    if (group === undefined) bySlot.set(slot, [key])
    else group.push(key)
  }
  return [...bySlot.values()].flatMap(chunked)
}
