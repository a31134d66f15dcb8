import type { Consistency } from '@stowage/core'
import { chunked } from '../commands.ts'
import type { Connection } from '../connection/connection.ts'
import { tokenOf } from '../consistency/consistency-token.ts'

/** Which servers there are, and which of them a command goes to. */
export interface Topology {
  /** The connection to where `key` is written, and where its newest value is. */
  primary(key: string): Connection
  /**
   * A connection whose answer for all of `keys` may be given: the primary's, or a replica's that is recent enough.
   * Another one than those that failed; `undefined` when none is left.
   */
  reader(
    keys: readonly string[],
    consistency?: Consistency,
    failed?: readonly Connection[],
  ): Connection | undefined
  /** Whom to ask for what a reader does not have, where keys move between servers without its knowing. */
  elsewhere?(reader: Connection, consistency?: Consistency): Connection | undefined
  /** One connection for each part of the keys, for commands that concern them all. */
  primaries(): Promise<readonly Connection[]>
  /** The keys in groups which one command may name together. */
  groups(keys: readonly string[]): string[][]
  /** The same for a read: apart are keys that not every server may answer for. */
  readGroups(keys: readonly string[], consistency?: Consistency): string[][]
  /** Notes that `keys`, or any key at all, are about to be written. To be called back when that is settled, either way. */
  writing(keys: readonly string[] | undefined): (() => void) | undefined
  /** Stands for everything written so far, by whatever process. */
  token(): Promise<string>
  /** From now on reads include what the token of another process stands for. */
  observe(token: string): void
  /** Lets go of every server, after what is under way. */
  close(): Promise<void>
}

/** One server for everything. */
export class SingleTopology implements Topology {
  readonly #connection: Connection

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

  groups(keys: readonly string[]): string[][] {
    return chunked(keys)
  }

  readGroups(keys: readonly string[]): string[][] {
    return chunked(keys)
  }

  writing(): undefined {}

  token(): Promise<string> {
    return tokenOf([this.#connection])
  }

  observe(): void {}

  close(): Promise<void> {
    return this.#connection.close()
  }
}
